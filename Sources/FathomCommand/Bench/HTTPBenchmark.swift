import Foundation
import Synchronization

/// Loads a gateway with streaming chat completions, as many clients at once as asked for.
struct HTTPBenchmark {
    struct Result: Encodable {
        var clients: Int
        var requests: Int
        var errors: Int
        var firstError: String?
        var seconds: Double
        var outputTokens: Int
        var tokensPerSecond: Double
        var timeToFirstTokenP50: Double?
        var timeToFirstTokenP99: Double?
        var interTokenP50: Double?
        var interTokenP99: Double?
        var totalP50: Double?

        enum CodingKeys: String, CodingKey {
            case clients, requests, errors, seconds
            case firstError = "first_error"
            case outputTokens = "output_tokens"
            case tokensPerSecond = "tokens_per_s"
            case timeToFirstTokenP50 = "ttft_ms_p50"
            case timeToFirstTokenP99 = "ttft_ms_p99"
            case interTokenP50 = "itl_ms_p50"
            case interTokenP99 = "itl_ms_p99"
            case totalP50 = "total_ms_p50"
        }
    }

    /// What all clients have seen so far; times in milliseconds.
    private struct Tally {
        var next = 0
        var done = 0
        var errors: [String] = []
        var firstToken = SampleStatistics()
        var interToken = SampleStatistics()
        var total = SampleStatistics()
        var tokens = 0
    }

    let client: GatewayClient
    let model: String
    let clients: Int
    let requests: Int
    let maxTokens: Int
    let promptWords: Int
    let sharedPrefixWords: Int
    /// In every prompt, so that a second run is not answered from the cache of the first.
    let runID = UInt32.random(in: .min ... .max)

    func run() async -> Result {
        let tally = SharedTally(Tally())
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<clients {
                group.addTask {
                    while let index = takeNext(tally) { await runRequest(index, tally) }
                }
            }
        }
        let seconds = start.duration(to: .now).inSeconds
        return tally.value.withLock { tally in
            Result(
                clients: clients, requests: tally.done, errors: tally.errors.count, firstError: tally.errors.first,
                seconds: seconds, outputTokens: tally.tokens, tokensPerSecond: Double(tally.tokens) / seconds,
                timeToFirstTokenP50: tally.firstToken.percentile(0.5),
                timeToFirstTokenP99: tally.firstToken.percentile(0.99),
                interTokenP50: tally.interToken.percentile(0.5), interTokenP99: tally.interToken.percentile(0.99),
                totalP50: tally.total.percentile(0.5))
        }
    }

    /// `Mutex` cannot be captured by itself.
    private final class SharedTally: Sendable {
        let value: Mutex<Tally>

        init(_ tally: Tally) { value = Mutex(tally) }
    }

    private func takeNext(_ tally: SharedTally) -> Int? {
        tally.value.withLock { tally in
            guard tally.next < requests else { return nil }
            tally.next += 1
            return tally.next - 1
        }
    }

    private func runRequest(_ index: Int, _ tally: SharedTally) async {
        var prompt = Self.words(sharedPrefixWords, seed: 0)
        prompt += " Request \(runID)-\(index): tell a story about \(Self.words(promptWords, seed: index + 1))"
        let request = ChatRequest(
            model: model, messages: [ChatMessage(role: "user", content: prompt)], maxTokens: maxTokens, temperature: 0,
            ignoreEOS: true)
        let start = ContinuousClock.now
        var last: ContinuousClock.Instant?
        var chunks = 0
        var usage: Int?
        var firstToken: Double?
        var gaps: [Double] = []
        do {
            try await client.streamChat(request) { chunk in
                usage = chunk.usage?.completionTokens ?? usage
                guard let text = chunk.choices?.first?.delta?.content, !text.isEmpty else { return }
                let now = ContinuousClock.now
                if let last {
                    gaps.append(last.duration(to: now).inSeconds * 1000)
                } else {
                    firstToken = start.duration(to: now).inSeconds * 1000
                }
                last = now
                chunks += 1
            }
            let total = start.duration(to: .now).inSeconds * 1000
            tally.value.withLock { tally in
                tally.done += 1
                tally.tokens += usage ?? chunks
                if let firstToken { tally.firstToken.add(firstToken) }
                gaps.forEach { tally.interToken.add($0) }
                tally.total.add(total)
            }
        } catch {
            tally.value.withLock { $0.errors.append("\(error)") }
        }
    }

    private static let vocabulary =
        """
        the quick brown fox jumps over a lazy dog while seven wizards quietly mix potions for the king and his guests in \
        the old castle near the river
        """.split(separator: " ")

    /// Words that differ from request to request, so that no cache helps by accident.
    private static func words(_ count: Int, seed: Int) -> String {
        (0..<count).map { String(vocabulary[($0 * 7 + seed * 13 + $0 * $0 * seed) % vocabulary.count]) }
            .joined(separator: " ")
    }
}
