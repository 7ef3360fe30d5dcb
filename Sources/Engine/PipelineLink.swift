import InferenceCore

/// What a link to the next stage reports, from any thread.
package enum PipelineEvent: Sendable {
    /// The next stages agreed on model and layers and know no sequence. Epochs increase.
    case up(epoch: UInt64)
    /// The last stage's answer to a step; steps are answered in the order sent.
    case results(epoch: UInt64, stepID: UInt64, results: [SequenceResult], computeMicroseconds: UInt64)
    /// The link of this epoch is gone; the link tries to come up again by itself.
    case down(epoch: UInt64, InferenceError)
}

/// The way from one stage to the next, whatever carries it.
///
/// An epoch lasts from `up` to `down`. Steps of an epoch are answered in order or not at all; nothing of an earlier epoch
/// is delivered after a later `up`.
package protocol PipelineLink: AnyObject, Sendable {
    /// Most bytes of hidden states that a step may bring: one with more could not be sent, and would end the epoch.
    var maxHiddenByteCount: Int { get }

    /// Begins to connect; events come until `stop`.
    func start(_ receive: @escaping @Sendable (PipelineEvent) -> Void)

    /// Hands a step to the next stage without waiting. Copies `hidden` before it returns.
    ///
    /// - Throws: when `epoch` is not the current one or too many bytes are unsent.
    func send(_ batch: StepBatch, hidden: UnsafeBufferPointer<Float>, epoch: UInt64) throws

    /// Ends an epoch that is no use any more; `down` follows, then a new `up` when the stages agree again.
    func invalidate(epoch: UInt64, reason: InferenceError)

    /// Ends the link for good. No event follows.
    func stop()
}
