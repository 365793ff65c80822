"""What can go wrong, as one tree; the command prints one line and exits with ``exit_status``."""

DONE, DIFFERS, USAGE, INPUT_FILE, RESOURCE, RECORDED, STOPPED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 75, 130
INCOMPLETE = DIFFERS

EXIT_STATUSES = {
    DONE: "done",
    DIFFERS: "what was compared differs, or files of a campaign are missing",
    USAGE: "an option, a value or a program that cannot be used",
    INPUT_FILE: "an input file that cannot be read, or does not hold what it should",
    RESOURCE: "memory, disk, output folder or device are not there",
    RECORDED: "a golden suite was recorded: nothing was checked",
    STOPPED: "a campaign was stopped by a signal: run it again",
    INTERRUPTED: "interrupted (143 by SIGTERM, 129 by SIGHUP, 138 by SIGUSR1)",
}
"""What a command ends with; each means the same in all of them."""


def exit_statuses(*verdicts: int) -> str:
    """The table for a command's help; ``verdicts`` are those that only some commands have."""
    rare = (DIFFERS, RECORDED, STOPPED)
    told = (status for status in EXIT_STATUSES if status not in rare or status in verdicts)
    return "\n".join(["exit status:", *(f"  {status:<5}{EXIT_STATUSES[status]}" for status in told)])


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


class NbnumbaError(Exception):
    """Base of every error that nbnumba raises on purpose."""

    exit_status = RESOURCE

    def __str__(self) -> str:
        """One line, whatever a file is called and whatever another library says of it."""
        return _one_line(super().__str__())


class UsageError(NbnumbaError):
    """An option or an experiment's field that cannot be: names it, its value and what would be right."""

    exit_status = USAGE


class InputFileError(NbnumbaError):
    """An input file that cannot be read or does not hold what it should: names the file and the line."""

    exit_status = INPUT_FILE


class ResourceError(NbnumbaError):
    """The machine cannot do it: memory, disk, an output folder, a device."""

    exit_status = RESOURCE


class NbnumbaWarning(UserWarning):
    """Something was assumed or adjusted; the image is still what the text of the warning says."""

    def __str__(self) -> str:
        """One line, as an error has it."""
        return _one_line(super().__str__())


class DeviceError(ResourceError):
    """A GPU that cannot be used, or failed: the CPU could do the work."""
