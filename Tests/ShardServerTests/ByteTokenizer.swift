import ShardServer
import Tokenization

/// Tokens 0...255 are bytes, 256 ends a generation, the rest are the given strings.
struct ByteTokenizer: Tokenizer {
    static let end: UInt32 = 256
    let strings: [String]

    init(strings: [String] = []) {
        self.strings = strings
    }

    /// A model with this tokeniser and no chat template.
    var model: ServedModel {
        ServedModel(
            name: "fake", digest: "digest", architecture: "fake", tokenizer: self, chatTemplate: nil)
    }

    var vocabularySize: Int { 300 }
    var bosTokenID: UInt32? { nil }
    var eosTokenID: UInt32? { Self.end }
    var endOfGenerationTokenIDs: Set<UInt32> { [Self.end] }

    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [UInt32] {
        text.utf8.map(UInt32.init)
    }

    func bytes(of token: UInt32) -> [UInt8] {
        switch Int(token) {
        case 0...255: [UInt8(token)]
        case 257..<(257 + strings.count): Array(strings[Int(token) - 257].utf8)
        default: []
        }
    }

    func specialText(of token: UInt32) -> String? { token == Self.end ? "<end>" : nil }
    func specialToken(_ text: String) -> UInt32? { text == "<end>" ? Self.end : nil }
}
