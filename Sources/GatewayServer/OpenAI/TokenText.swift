import Foundation
import WireProtocols

/// How tokens appear in answers.
enum TokenText {
    /// The token as text: half characters become U+FFFD, or "token_id:N" when ids were asked for.
    static func text(_ bytes: Data, id: UInt32, asID: Bool) -> String {
        asID ? "token_id:\(id)" : String(decoding: bytes, as: UTF8.self)
    }

    /// The token as a key of `top_logprobs` in completions: bytes that are no text become "bytes:\xE2\x82", so that two
    /// tokens never share a key by accident.
    static func key(_ bytes: Data, id: UInt32, asID: Bool) -> String {
        if asID { return "token_id:\(id)" }
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let digits = Array("0123456789abcdef")
        return "bytes:" + bytes.map { "\\x\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
    }
}

extension Fathom_Shard_V1_Finished.Reason {
    /// OpenAI's word.
    var finishReason: String {
        switch self {
        case .length: "length"
        case .toolCalls: "tool_calls"
        default: "stop"
        }
    }
}
