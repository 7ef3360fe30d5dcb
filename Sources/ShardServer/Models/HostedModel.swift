import Synchronization

/// One loaded model in a ``ModelPool``.
package protocol HostedModel: AnyObject, Sendable {
    /// What goes on in the background while the model is loaded; returns after `stop`, or when cancelled.
    func run() async

    /// Waits until the model can take requests, while `run` is under way.
    ///
    /// - Throws: why it never will.
    func waitUntilUsable() async throws

    /// Ends all work. When this returns, weights, KV cache and threads are given back, whoever still holds this object.
    func stop() async
}

/// The right to use a loaded model, which stays loaded meanwhile. Ends with `release`, or with its last reference.
package final class ModelLease<Model: HostedModel>: Sendable {
    package let model: Model
    private let onRelease: Mutex<(@Sendable () -> Void)?>

    package init(model: Model, onRelease: @escaping @Sendable () -> Void) {
        self.model = model
        self.onRelease = Mutex(onRelease)
    }

    deinit {
        release()
    }

    /// Ends the use; again without effect.
    package func release() {
        let onRelease = onRelease.withLock { onRelease in
            defer { onRelease = nil }
            return onRelease
        }
        onRelease?()
    }
}
