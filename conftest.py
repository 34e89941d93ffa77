"""Properties are not timed: a busy machine takes longer than Hypothesis' 200 ms for an example that is well."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
