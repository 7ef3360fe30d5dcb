import NIOCore
import Synchronization

/// The connections of a server and where it is in its shutdown.
final class ConnectionTable: Sendable {
    struct Entry: Sendable {
        let handler: NIOLoopBound<ConnectionHandler>
        let eventLoop: any EventLoop
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var listener: (any Channel)?
        var isShuttingDown = false
        var whenEmpty: (@Sendable () -> Void)?
        var drainTimer: Scheduled<Void>?
    }

    /// Handlers over all connections.
    let handlers = HandlerCounter(limit: .max)
    private let maxConnections: Int
    private let state = Mutex(State())

    init(maxConnections: Int) {
        self.maxConnections = maxConnections
    }

    var connectionCount: Int { state.withLock { $0.entries.count } }

    /// Adds a connection.
    ///
    /// - Returns: false when the table is full or the server is shutting down.
    func add(_ id: ObjectIdentifier, _ entry: Entry) -> Bool {
        state.withLock { state in
            guard !state.isShuttingDown, state.entries.count < maxConnections else { return false }
            state.entries[id] = entry
            return true
        }
    }

    func remove(_ id: ObjectIdentifier) {
        let finish = state.withLock { state in
            state.entries[id] = nil
            return Self.takeFinish(&state)
        }
        finish?()
    }

    /// Sets the channel that accepts connections and what to call once, when a shutdown is complete.
    func setListener(_ channel: any Channel, whenEmpty: @escaping @Sendable () -> Void) {
        let isShuttingDown = state.withLock { state in
            state.listener = channel
            state.whenEmpty = whenEmpty
            return state.isShuttingDown
        }
        // Shut down before it began.
        if isShuttingDown { closeAll(RPCError(.unavailable, "the server was stopped")) }
    }

    /// Stops listening and drains every connection; after `timeout` what is left is ended.
    func beginDrain(timeout: Duration, on eventLoop: any EventLoop) {
        let entries = stopListening()
        for entry in entries { entry.eventLoop.execute { entry.handler.value.drain() } }
        let timer = eventLoop.scheduleTask(in: TimeAmount(timeout)) {
            self.closeAll(RPCError(.unavailable, "the server's drain time has passed"))
        }
        let isOver = state.withLock { state in
            guard !state.entries.isEmpty else { return true }
            state.drainTimer = timer
            return false
        }
        if isOver { timer.cancel() }
    }

    /// Stops listening and ends every stream with `error`.
    func closeAll(_ error: RPCError) {
        for entry in stopListening() { entry.eventLoop.execute { entry.handler.value.abort(error) } }
    }

    private func stopListening() -> [Entry] {
        let (entries, listener, finish) = state.withLock { state in
            state.isShuttingDown = true
            let listener = state.listener
            state.listener = nil
            return (Array(state.entries.values), listener, Self.takeFinish(&state))
        }
        listener?.close(promise: nil)
        finish?()
        return entries
    }

    /// What to call when this was the last connection of a shutdown; at most once.
    private static func takeFinish(_ state: inout State) -> (@Sendable () -> Void)? {
        guard state.isShuttingDown, state.entries.isEmpty else { return nil }
        state.drainTimer?.cancel()
        state.drainTimer = nil
        defer { state.whenEmpty = nil }
        return state.whenEmpty
    }
}
