"""What can go wrong, as one tree; the command prints one line and exits with ``exit_status``."""


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


class NbnumbaError(Exception):
    """Base of every error that nbnumba raises on purpose."""

    exit_status = 1

    def __str__(self) -> str:
        """One line, whatever a file is called and whatever another library says of it."""
        return _one_line(super().__str__())


class UsageError(NbnumbaError):
    """An option or an experiment's field that cannot be: names it, its value and what would be right."""

    exit_status = 2


class InputFileError(NbnumbaError):
    """An input file that cannot be read or does not hold what it should: names the file and the line."""

    exit_status = 3


class ResourceError(NbnumbaError):
    """The machine cannot do it: memory, disk, an output folder, a device."""

    exit_status = 4


class NbnumbaWarning(UserWarning):
    """Something was assumed or adjusted; the image is still what the text of the warning says."""

    def __str__(self) -> str:
        """One line, as an error has it."""
        return _one_line(super().__str__())


class DeviceError(ResourceError):
    """A GPU that cannot be used, or failed: the CPU could do the work."""
