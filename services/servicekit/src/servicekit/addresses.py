"""Addresses as people write them. It imports nothing: the health check of containers starts often."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port". Raises ValueError with a sentence."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("allowed is host:port with a port of 0 to 65535, for example 127.0.0.1:50051")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ValueError("an IPv6 address is written in brackets, for example [::1]:50051")
    return host.strip("[]"), int(port)
