import ModelFiles
import Tensors
import Testing

@Suite("The installed models")
struct InstalledModelTests {
    @Test("the demo model opens with its metadata and all its tensors")
    func demoModel() throws {
        let file = try GGUFFile(path: try ModelFixture.path("smollm2-135m-instruct/model.gguf"))
        #expect(file.version == 3)
        #expect(file.tensorNames.count == 272)
        #expect(file.tensors.count == 272)
        #expect(try file.metadata.string("general.architecture") == "llama")
        #expect(try file.metadata.int("llama.block_count") == 30)
        #expect(try file.metadata.float("llama.rope.freq_base") == 100_000)
        #expect(try file.metadata.bool("tokenizer.ggml.add_bos_token") == false)
        let tokens = try file.metadata.stringArray("tokenizer.ggml.tokens")
        #expect(tokens.count == 49152)
        #expect(tokens[2] == "<|im_end|>")
        #expect(try file.metadata.ints("tokenizer.ggml.token_type").count == 49152)
        let embedding = try file.tensor("token_embd.weight")
        #expect(embedding.shape == [49152, 576])
        let gate = try file.tensor("blk.29.ffn_gate.weight")
        #expect(gate.shape == [1536, 576])
        #expect(gate.elementType == .q4_1)
    }
}
