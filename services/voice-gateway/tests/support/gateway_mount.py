"""Files as the kubelet mounts them."""

from pathlib import Path


class Mounted:
    """A ConfigMap or Secret: all files change at once, by one rename."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder = folder
        self._revision = 0
        folder.mkdir(exist_ok=True)
        self.swap(files)

    def swap(self, files: dict[str, bytes]) -> None:
        """A new revision."""
        self._revision += 1
        data = self.folder / f"..revision{self._revision}"
        data.mkdir()
        for name, content in files.items():
            (data / name).write_bytes(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(data.name)
        fresh.replace(self.folder / "..data")
        for link in self.folder.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()

    def path(self, name: str) -> str:
        """Where a file is."""
        return str(self.folder / name)
