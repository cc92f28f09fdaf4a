"""Errors of remote machines.

They derive from `machine.MachineError`, so that code which handles the errors of
a machine handles those of a remote one, too.
"""

from __future__ import annotations

from machine.errors import MachineError

__all__ = [
    "AccessDenied",
    "CallTimeout",
    "NotConnected",
    "NotPlainData",
    "PayloadTooLarge",
    "ProtocolError",
    "RemoteError",
    "SourceGone",
    "SourceRestarted",
    "UnknownCall",
]


class NotPlainData(MachineError):
    """A value that cannot be sent: not plain data and not a protobuf message.

    Your error. Nothing was sent. Plain data are None, bool, int, float, str, bytes,
    and lists and mappings of them with text as keys.
    """


class AccessDenied(MachineError):
    """The source does not let this mirror read, or mutate these states.

    Nothing was done. Ask the owner of the machine for access; a resend does not help. If the text
    says that the access rule failed, the log of the source tells the owner how.
    """


class NotConnected(MachineError):
    """There is no connection to the source, or it ended under a call that is not sent again.

    The text says whether anything was sent; if not, a resend is safe. Wait for
    `client.mach.when("Ready")`, or give a longer timeout.
    """


class CallTimeout(MachineError):
    """No answer of the source within the timeout of the call.

    A mutation may have been carried out; after `await machine.sync()` the mirror shows it.
    """


class SourceGone(MachineError):
    """The machine has been disposed of at its source, or its mailbox was closed for good."""


class SourceRestarted(MachineError):
    """The source was restarted, or its state imported, so its ticks begin again.

    A wait for a tick of the one before cannot come to be; wait for one of the new.
    """


class ProtocolError(MachineError):
    """The other side does not speak this protocol, or another version of it."""


class PayloadTooLarge(MachineError):
    """A payload is over the limit of this side or of the other; nothing more of it is sent."""


class UnknownCall(MachineError):
    """The other side has no function of this name."""


class RemoteError(MachineError):
    """An error of the source, with its type and text.

    Attributes:
        type: the name of its class there, such as `ValueError`.
        remote_text: what it says there.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the word for it
        remote_text: str,
        *,
        machine: str | None = None,
    ) -> None:
        super().__init__(f"{type}: {remote_text}" if remote_text else type, machine=machine)
        self.type = type
        self.remote_text = remote_text
