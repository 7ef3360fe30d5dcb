import Foundation
import InferenceCore

/// What another engine computed from a model: an `expected.json`, or `NAME.expected.json` beside `NAME.gguf`, of the
/// format "tiny-lm-oracle-1".
package struct CheckExpectation: Decodable, Sendable {
    package static let format = "tiny-lm-oracle-1"

    /// One prompt, fed as it is from position 0.
    package struct Prompt: Decodable, Sendable {
        package struct Greedy: Decodable, Sendable {
            package let tokens: [TokenID]
            package let logprobs: [Double]
        }

        package let tokens: [TokenID]
        /// For each position the likeliest next tokens, as pairs of id and natural log-probability.
        package let top: [[Candidate]]
        package let greedy: Greedy
        /// For each position of prompt and greedy tokens: how close the router's choice of experts was.
        package let routerMargin: [Double]?

        private enum CodingKeys: String, CodingKey {
            case tokens, top, greedy
            case routerMargin = "router_margin"
        }
    }

    /// A token and its log-probability.
    package struct Candidate: Decodable, Sendable {
        package let tokenID: TokenID
        package let logprob: Double

        package init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            tokenID = try container.decode(TokenID.self)
            logprob = try container.decode(Double.self)
        }
    }

    /// How far llama.cpp is from these figures.
    package struct Yardstick: Decodable, Sendable {
        package struct Figures: Decodable, Sendable {
            package let median: Double
            package let p90: Double
        }

        package let asIs: Figures

        private enum CodingKeys: String, CodingKey {
            case asIs = "as_is"
        }
    }

    package let prompts: [Prompt]
    package let yardstick: Yardstick?

    private enum CodingKeys: String, CodingKey {
        case prompts
        case yardstick = "llama_cpp_check"
    }

    /// - Throws: `InferenceError` `invalidRequest` for a file whose parts do not fit together.
    package init(path: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        do {
            self = try JSONDecoder().decode(CheckExpectation.self, from: data)
        } catch {
            throw InferenceError(
                code: .invalidRequest, message: "\(path) is not of the format \(Self.format)", cause: error)
        }
        for prompt in prompts {
            let total = prompt.tokens.count + prompt.greedy.tokens.count
            guard !prompt.tokens.isEmpty, prompt.top.count == prompt.tokens.count,
                prompt.greedy.logprobs.count == prompt.greedy.tokens.count,
                prompt.routerMargin.map({ $0.count >= total - 1 }) ?? true
            else {
                throw InferenceError(code: .invalidRequest, message: "\(path): counts of a prompt do not fit together")
            }
        }
    }
}
