"""Scriptable fakes of every port, for tests here and elsewhere."""
