"""Trips through the rooms: the functions that a request, a name and a mutation enter, in order.

`docs/pictures.py` draws them; a test makes each trip and finds these functions in this order.
"""

from typing import NamedTuple

__all__ = ["TRIPS", "Step"]


class Step(NamedTuple):
    """One function on the way, and the reason to go there."""

    module: str
    function: str
    note: str

    @property
    def room(self) -> str:
        """The room, without the package."""
        return self.module.split(".")[1]


TRIPS: dict[str, tuple[Step, ...]] = {
    "request": (
        Step("grid.client.sender", "Messaging.request", "The caller's await."),
        Step("grid.codec", "Codec.encode", "Message to type name and bytes."),
        Step("grid.client.router", "Router.ask", "Name to owner, from the registry's view."),
        Step("grid.transport.link", "Link.request", "The owner's session; a future by number."),
        Step("grid.transport.protocol", "Session.open", "A delivery for the next frame."),
        Step("grid.transport.protocol", "Session.next_frame", "All waiting deliveries, one write."),
        Step("grid.transport.protocol", "Session.receive", "On the other side: bytes to events."),
        Step("grid.mailbox.dispatcher", "Dispatcher.accept", "Checks lease, epoch and mailbox."),
        Step("grid.codec", "Codec.decode", "The receiver's own copy of the message."),
        Step("grid.mailbox.request", "Request.__init__", "It waits in the bounded mailbox."),
        Step("grid.mailbox.mailbox", "Mailbox.__anext__", "The actor's loop takes it."),
        Step("grid.mailbox.request", "Request.respond", "The actor answers."),
        Step("grid.transport.answer", "Answer.resolve", "Once only; refused after a lost lease."),
        Step("grid.transport.protocol", "Session.reply", "Back in the next frame."),
        Step("grid.transport.protocol", "Session.receive", "On the caller's side."),
        Step("grid.codec", "Codec.decode", "Bytes to the reply; the await ends."),
    ),
    "name": (
        Step("grid.server.server", "Server.open_mailbox", "A peer opens the mailbox `m`."),
        Step("grid.server.peer", "Peer.open_mailbox", "The name becomes a key of the namespace."),
        Step("grid.mailbox.dispatcher", "Dispatcher.opening", "Early requests wait for the claim."),
        Step("grid.registry.claims", "Claims.claim", "The key is claimed under the peer's lease."),
        Step("grid.registry.ledger", "Ledger.next_batch", "Claims made together go together."),
        Step("grid.etcd._client", "EtcdClient.txn", "Created only if absent: unique."),
        Step("grid.registry.ledger", "Ledger.granted", "The key's create revision is the epoch."),
        Step("grid.client.sender", "Messaging.request", "Elsewhere, a client asks `m`."),
        Step("grid.client.router", "Router.ask", "A name that the client has not met."),
        Step("grid.registry.directory", "Directory.read", "One read; a watch begins."),
        Step("grid.etcd._client", "EtcdClient.get", "The key's value: address, peer, epoch."),
        Step("grid.registry.view", "RegistryView.put", "Kept; later requests read nothing."),
        Step("grid.mailbox.mailbox", "Mailbox.close", "The peer closes the mailbox."),
        Step("grid.registry.claims", "Claims.free", "The key goes if it is still the peer's."),
        Step("grid.registry.view", "RegistryView.apply", "The client's watch forgets the name."),
    ),
    "mutation": (
        Step("machine.core.machine", "Machine.add", "The caller asks for a state."),
        Step("machine.core.queue", "Queue._m_mutate", "It has observers, so it may be queued."),
        Step("machine.rules.resolution", "Relations.move", "Its outcome by relations; remembered."),
        Step("machine.core.engine", "Engine._m_perform", "Its turn: mutations are serial."),
        Step("machine.core.plans", "HandlerTable.plan", "The handlers to call, in order."),
        Step("machine.core.engine", "Engine._m_call", "Negotiation: a handler may say no."),
        Step("machine.core.engine", "Engine._m_call", "Final handlers: the clocks have ticked."),
        Step("machine.core.engine", "Engine._m_conclude", "The transition ends."),
        Step("machine.waits.open_waits", "OpenWaits.changed", "Waits on the changed states."),
        Step("machine.waits.wait", "Wait._resolve", "A wait is fulfilled."),
        Step("machine.waits.open_waits", "OpenWaits.queue_ended", "The queue is empty."),
    ),
}
