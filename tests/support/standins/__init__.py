"""Programs that stand in for kubectl, helm, curl, date, sleep and voice on the PATH of a script under test.

They write down what they were asked and what they were given, and answer from a small state on disk
(standins/state.py).
"""
