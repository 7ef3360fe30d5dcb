import NIOCore
import Synchronization

/// Where a server listens, for those who ask before it does.
final class AddressPromise: Sendable {
    private enum State {
        case waiting([UInt64: CheckedContinuation<SocketAddress, any Error>])
        case bound(SocketAddress)
        case failed(RPCError)
    }

    private let state = Mutex(State.waiting([:]))
    private let tokens = Atomic<UInt64>(0)

    func succeed(_ address: SocketAddress?) {
        guard let address else { return fail(RPCError(.internalError, "the listening socket has no address")) }
        for waiter in complete(.bound(address)) { waiter.resume(returning: address) }
    }

    func fail(_ error: RPCError) {
        for waiter in complete(.failed(error)) { waiter.resume(throwing: error) }
    }

    private func complete(_ new: State) -> [CheckedContinuation<SocketAddress, any Error>] {
        state.withLock { state in
            defer { state = new }
            guard case .waiting(let waiters) = state else { return [] }
            return Array(waiters.values)
        }
    }

    /// Waits for either.
    func value() async throws -> (host: String, port: Int) {
        let token = tokens.add(1, ordering: .relaxed).newValue
        let address = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<SocketAddress, any Error>? = state.withLock { state in
                    switch state {
                    case .bound(let address): return .success(address)
                    case .failed(let error): return .failure(error)
                    case .waiting(var waiters):
                        if Task.isCancelled { return .failure(CancellationError()) }
                        waiters[token] = continuation
                        state = .waiting(waiters)
                        return nil
                    }
                }
                outcome.map { continuation.resume(with: $0) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<SocketAddress, any Error>? in
                guard case .waiting(var waiters) = state else { return nil }
                let waiter = waiters.removeValue(forKey: token)
                state = .waiting(waiters)
                return waiter
            }
            waiter?.resume(throwing: CancellationError())
        }
        return (address.ipAddress ?? "", address.port ?? 0)
    }
}
