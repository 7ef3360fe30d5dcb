/// What steps cost here, learnt while they run, to say how long a prompt may hold up running streams.
///
/// A step that only decodes sets the pace of the streams. A prompt's chunk may stretch a step to about
/// `1 + prefillShare` times that, so that a stream's slowest gap stays below three times its usual one.
struct StepCost {
    /// A chunk's time as a multiple of a decode step's; nil sets no bound.
    let prefillShare: Double?
    /// Fewer tokens would waste the weights that every step loads.
    private static let minChunk = 16
    /// Weight of the newest step in the averages.
    private static let newest = 0.2

    private var decodeSeconds: Double?
    private var prefillSecondsPerToken: Double?

    init(prefillShare: Double?) {
        self.prefillShare = prefillShare
    }

    /// Most prompt tokens of a step while a sequence decodes.
    var maxPrefillTokens: Int {
        guard let prefillShare else { return .max }
        guard let decodeSeconds, let prefillSecondsPerToken, prefillSecondsPerToken > 0 else {
            return 4 * Self.minChunk
        }
        let tokens = prefillShare * decodeSeconds / prefillSecondsPerToken
        return max(Self.minChunk, Int(min(tokens, 65_536)))
    }

    /// Takes in a step's compute time on this stage.
    mutating func note(_ duration: Duration, tokens: Int, prefillTokens: Int) {
        let seconds = duration / .seconds(1)
        if prefillTokens == 0 {
            Self.average(&decodeSeconds, seconds)
        } else if prefillTokens >= Self.minChunk {
            // What the decodes in it would have cost alone is not the prompt's.
            let decodes = prefillTokens < tokens ? decodeSeconds ?? 0 : 0
            Self.average(&prefillSecondsPerToken, max(seconds - decodes, 0) / Double(prefillTokens))
        }
    }

    private static func average(_ value: inout Double?, _ new: Double) {
        value = value.map { $0 + newest * (new - $0) } ?? new
    }
}
