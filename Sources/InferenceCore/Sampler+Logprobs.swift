import Foundation

extension Sampler {
    /// What stands for the log-probability of a token that cannot come: one whose logit is no finite number, or so small
    /// that nobody could tell. OpenAI and vLLM report the same number; JSON has none for -infinity.
    package static let minLogprob: Float = -9_999

    /// Log-probabilities of one row of raw logits.
    ///
    /// The normaliser is a log-sum-exp accumulated in Double in a fixed order, so the same logits give the same answer
    /// on every stage and machine.
    ///
    /// - Parameters:
    ///   - logits: [vocabularySize], as the model left them.
    ///   - topCount: alternatives wanted, 0...``SamplingParameters/maxLogprobs``.
    /// - Returns: the log-probability of `tokenID`, and the likeliest tokens; nil when no logit is a finite number.
    package static func logprobs(
        _ logits: UnsafeBufferPointer<Float>, of tokenID: TokenID, topCount: Int
    ) -> TokenLogprob? {
        guard let normaliser = logNormaliser(logits) else { return nil }
        let top = likeliest(topCount, of: logits).map {
            TopLogprob(tokenID: $0, logprob: logprob(ofLogit: logits[Int($0)], normaliser: normaliser))
        }
        return TokenLogprob(
            tokenID: tokenID, logprob: logprob(ofLogit: logits[Int(tokenID)], normaliser: normaliser), top: top)
    }

    static func logprob(ofLogit logit: Float, normaliser: Double) -> Float {
        guard logit.isFinite else { return minLogprob }
        return max(Float(Double(logit) - normaliser), minLogprob)
    }

    /// - Returns: nil when no logit is a finite number.
    static func logNormaliser(_ logits: UnsafeBufferPointer<Float>) -> Double? {
        let maximum = LogitMath.maximum(logits)
        guard maximum.isFinite else { return nil }
        return Double(maximum) + log(LogitMath.exponentialSum(logits, maximum: maximum, scale: 1))
    }

    /// The `count` largest finite logits' tokens, largest first, ties by the lower id. One pass with a small sorted list.
    static func likeliest(_ count: Int, of logits: UnsafeBufferPointer<Float>) -> [TokenID] {
        guard count > 0 else { return [] }
        var best: [(logit: Float, token: TokenID)] = []
        best.reserveCapacity(count + 1)
        var threshold = -Float.infinity
        for index in logits.indices {
            let logit = logits[index]
            // A later token never displaces an equal earlier one.
            guard logit > threshold || best.count < count, logit.isFinite else { continue }
            let place = best.firstIndex { $0.logit < logit } ?? best.count
            best.insert((logit, TokenID(index)), at: place)
            if best.count > count { best.removeLast() }
            if best.count == count { threshold = best[count - 1].logit }
        }
        return best.map(\.token)
    }
}
