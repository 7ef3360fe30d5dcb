import Foundation
import ModelFiles
import ModelTools
import Testing

/// A made-up SentencePiece-like tokeniser over the weights of a real folder.
@Suite("Tokeniser conversion", .disabled(if: Oracle.isMissing, "the oracle folder is not here"))
struct TokenizerConversionTests {
    private func metadata(tokenizer: String, settings: String = "{}") throws -> GGUFMetadata {
        try withTemporaryDirectory { folder in
            for file in ["model.safetensors", "config.json"] {
                try FileManager.default.copyItem(atPath: Oracle.path("qwen2/\(file)"), toPath: "\(folder)/\(file)")
            }
            try Data(tokenizer.utf8).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
            try Data(settings.utf8).write(to: URL(fileURLWithPath: folder + "/tokenizer_config.json"))
            return try ModelPlan.read(path: folder).typedMetadata
        }
    }

    /// "é" in both compositions, an escape, a surrogate pair, and nested values before the vocabulary.
    private static let pieces = #"""
        {"version": "1.0", "normalizer": {"a": [1, {"b": "}"}], "c": null}, "added_tokens":
        [{"id": 0, "content": "<unk>", "special": true}, {"id": 9, "content": "<tool>", "special": false}],
        "model": {"type": "BPE", "byte_fallback": true, "vocab": {"<unk>": 0, "<0x0A>": 1, "\u00e9": 2, "e\u0301": 3,
        "\"": 4, "\ud83d\ude00": 5, "a": 6, "b": 7, "ab": 8}, "merges": [["a", "b"]]}}
        """#

    @Test("pieces keep their bytes, kinds and order of merging")
    func pieces() throws {
        let metadata = try metadata(
            tokenizer: Self.pieces,
            settings:
                #"{"bos_token": {"content": "a"}, "chat_template": [{"name": "x", "template": "X"}, {"name": "default", "template": "D"}]}"#
        )
        #expect(try metadata.string("tokenizer.ggml.model") == "llama")
        let tokens = try metadata.stringArray("tokenizer.ggml.tokens")
        let composed = tokens.withUTF8(at: 2) { Array($0) }
        let decomposed = tokens.withUTF8(at: 3) { Array($0) }
        #expect(composed == [0xC3, 0xA9] && decomposed == [0x65, 0xCC, 0x81])
        #expect(tokens[4] == "\"" && tokens[5] == "😀" && tokens[9] == "<tool>" && tokens[10] == "[PAD10]")
        #expect(try metadata.ints("tokenizer.ggml.token_type").prefix(11) == [2, 6, 1, 1, 1, 1, 1, 1, 1, 4, 5])
        let scores = try metadata.floats("tokenizer.ggml.scores")
        #expect(scores[8] == 0 && scores[6] < 0)
        #expect(try metadata.int("tokenizer.ggml.bos_token_id") == 6)
        #expect(try metadata.string("tokenizer.chat_template") == "D")
    }

    @Test(
        "a tokeniser that is broken or of another kind is refused",
        arguments: [
            "", "{}", #"{"model":{"type":"Unigram"}}"#, #"{"model":{"type":"BPE","byte_fallback":true,"vocab":[]}}"#,
            #"{"model":{"type":"BPE","byte_fallback":true,"vocab":{"a":99999}}}"#,
            #"{"model":{"type":"BPE","byte_fallback":true,"vocab":{"a":0},"merges":[["a"]]}}"#,
            #"{"model":{"type":"BPE","vocab":{"a":0}},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"x"}}}"#,
        ])
    func refusals(tokenizer: String) {
        #expect(throws: (any Error).self) { try metadata(tokenizer: tokenizer) }
    }
}
