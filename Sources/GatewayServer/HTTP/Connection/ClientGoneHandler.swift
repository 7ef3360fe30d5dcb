import NIOCore

/// What a route sends down the pipeline to be told, once and on the event loop, that its client has gone away.
package struct ClientGoneSubscription: Sendable {
    let onGone: @Sendable () -> Void

    package init(onGone: @escaping @Sendable () -> Void) {
        self.onGone = onGone
    }
}

/// Notices that nobody waits for the answer any more.
///
/// On HTTP/1.1 a client that closes its end after its request arrives as "input closed"; on HTTP/2 its stream is reset.
/// Both reach this handler at once, also while the model still reads the prompt and nothing has been written.
/// Hummingbird's own way, `consumeWithCancellationOnInboundClose`, costs the connection its keep-alive.
final class ClientGoneHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    typealias OutboundIn = NIOAny

    /// Of the request being answered; requests of one connection, or stream, are answered one after the other.
    private var subscription: ClientGoneSubscription?
    private var isGone = false

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let subscription = event as? ClientGoneSubscription else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        promise?.succeed()
        if isGone { subscription.onGone() } else { self.subscription = subscription }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { clientIsGone() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        clientIsGone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // HTTP/2 reports a reset stream as an error; on HTTP/1.1 an error ends the connection too.
        clientIsGone()
        context.fireErrorCaught(error)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        clientIsGone()
    }

    private func clientIsGone() {
        isGone = true
        let subscription = self.subscription
        self.subscription = nil
        subscription?.onGone()
    }
}

extension Channel {
    /// Calls `onGone` once, when the client of the request that this channel carries has gone away, or at once when it
    /// already has. The request's body must have been read to its end before.
    func whenClientIsGone(_ onGone: @escaping @Sendable () -> Void) {
        let promise = eventLoop.makePromise(of: Void.self)
        // A pipeline that is already torn down cannot take the event.
        promise.futureResult.whenFailure { _ in onGone() }
        pipeline.triggerUserOutboundEvent(ClientGoneSubscription(onGone: onGone), promise: promise)
    }
}
