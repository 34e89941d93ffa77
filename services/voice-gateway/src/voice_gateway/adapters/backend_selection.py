"""Which backends a call gets."""

from voice_gateway.application.ports import Backends, BackendWish


class OneOfEach:
    """The one recogniser, language model and synthesiser that are configured. Languages and models that a call wishes
    for are asked of them by name, and they refuse what they do not have.
    """

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def select(self, wish: BackendWish) -> Backends:  # noqa: ARG002 - of the port
        """Always the same."""
        return self._backends
