import ArgumentParser
import FathomCommand
import Foundation
import Glibc
import ModelRegistry
import Testing

/// What the built `fathom` says and how it ends, for command lines as newcomers type them. No cluster is started.
struct CommandLineTests {
    /// Words that are names of cases and types, not messages.
    private static let leaks = [
        "inputOutput", "fileUnavailable", "invalidArgument", "modelNotFound", "NIOConnectionError", "NSCocoaError",
        "DecodingError", "Error Domain", "ended with status 1", "keyNotFound:", "Swift.",
    ]

    private static let mistakes: [(line: String, status: Int32, words: String)] = [
        ("model inspect nothing.gguf", 1, "there is no such file"),
        ("model inspect nothing", 1, "fathom model list"),
        ("model inspect /", 1, "holds no model"),
        ("model inspect smollm2-135m-instruct --stages 0", 64, "expected 1...1024"),
        ("model inspect smollm2-135m-instruct --memory much", 1, "16GiB"),
        ("model verify nothing", 1, "not installed"),
        ("model verify --key /nonexistent/key smollm2-135m-instruct", 1, "no such file"),
        ("model check nothing", 1, "not installed"),
        ("model check smollm2-135m-instruct", 1, "figures of another engine"),
        ("model import /nonexistent/x", 1, "no such file"),
        ("model quantize smollm2-135m-instruct --type Q9 --output x", 64, "Q4_K_M"),
        ("model card /", 1, "fathom model import"),
        ("model pull nothing", 1, "hf:OWNER/REPOSITORY"),
        ("model pull hf:a/b --parallel 99", 64, "Usage: fathom model pull"),
        ("model rm nothing", 1, "not installed"),
        ("model alias a nothing", 1, "not installed"),
        ("model tokenize --tokenizer /nonexistent/t", 1, "no such file"),
        ("up --model nothing", 1, "fathom model list"),
        ("up --model hf:a/b", 1, "fathom model pull hf:a/b"),
        ("up --model //a=smollm2-135m-instruct", 1, "no such file"),
        ("up --encoder smollm2-135m-instruct", 1, "no encoder"),
        ("up --verify-models signature", 64, "--verify-key"),
        ("up --verify-key /nonexistent/key", 1, "no such file"),
        ("up --log-level shout", 64, "critical"),
        ("up --evidence x", 64, "sentences"),
        ("up --home /dev/null", 1, "not a folder"),
        ("key list --home /dev/null", 1, "not a folder"),
        ("key revoke key_0 --keys /nonexistent/keys", 1, "No such file"),
        ("status --home /nonexistent/home", 1, "fathom up"),
        ("chat --url http://127.0.0.1:1 --model m --max-tokens 0", 64, "--max-tokens"),
        ("ask x --url http://127.0.0.1:1", 1, "refused"),
        ("ask x --url nonsense", 1, "http://HOST:PORT"),
        ("probe --address nonsense", 1, "host:port"),
        ("bench engine --model nothing", 1, "not installed"),
    ]

    @Test("a mistake is answered with a sentence that says what to do", arguments: mistakes)
    func mistake(_ line: String, _ status: Int32, _ words: String) async throws {
        try await withTemporaryDirectory { scratch in
            let run = try await ClusterFixture.fathom(
                line.split(separator: " ").map(String.init), scratch: scratch,
                environment: ["FATHOM_HOME": scratch + "/home"])
            #expect(run.status == status, "\(line): \(run.output)")
            #expect(run.output.contains(words), "\(line): \(run.output)")
            for leak in Self.leaks { #expect(!run.output.contains(leak), "\(line): \(run.output)") }
        }
    }

    @Test("models that differ from their manifest are not started, and the file is named")
    func refusesChangedModel() async throws {
        let source = try ModelRegistry.standard().textModel(ModelCatalogue.defaultTextModel).path
        let encoder = try ModelRegistry.standard().encoder(ModelCatalogue.defaultEncoder)
        try await withTemporaryDirectory { scratch in
            let registry = ModelRegistry(directory: scratch + "/models")
            let reference = try #require(ModelReference("net"))
            _ = try registry.importModel(
                ModelImport(path: source, reference: reference, kind: .textGeneration, copies: true))
            let file = try registry.textModel("net").path
            func up(_ options: [String]) async throws -> ClusterFixture.Run {
                try await ClusterFixture.fathom(
                    ["up", "--detach", "--home", scratch + "/home", "--model", "net", "--encoder", encoder] + options,
                    scratch: scratch, environment: ["FATHOM_MODELS": registry.directory])
            }
            let handle = try #require(FileHandle(forUpdatingAtPath: file))
            try handle.seek(toOffset: 90_000_000)
            try handle.write(contentsOf: Data([0x5A, 0xA5]))
            try handle.close()
            // Alone, the option means the digests.
            let changed = try await up(["--verify-models"])
            #expect(changed.status == 1 && changed.output.contains("\(file): SHA-256"), "\(changed.output)")

            let key = SigningKey()
            try write(key.publicKey.pem, to: scratch + "/key.pub")
            let unsigned = try await up(["--verify-key", scratch + "/key.pub"])
            #expect(unsigned.status == 1 && unsigned.output.contains("not signed"), "\(unsigned.output)")
            #expect(!FileManager.default.fileExists(atPath: scratch + "/home/cluster.json"))
        }
    }

    @Test("an installed model gets another name with all its files and its origin; a folder comes whole")
    func importsWhole() async throws {
        try await withTemporaryDirectory { scratch in
            let source = try ModelRegistry.standard().textModel(ModelCatalogue.defaultTextModel).path
            try FileManager.default.createDirectory(atPath: scratch + "/net", withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: source, toPath: scratch + "/net/model.gguf")
            try write("Terms of use", to: scratch + "/net/LICENSE")
            let registry = ModelRegistry(directory: scratch + "/models")
            for arguments in [[scratch + "/net"], ["net", "--name", "Org/other", "--version", "2"]] {
                let run = try await ClusterFixture.fathom(
                    ["model", "import"] + arguments, scratch: scratch,
                    environment: ["FATHOM_MODELS": registry.directory])
                #expect(run.status == 0, "\(run.output)")
            }
            let other = try registry.manifest(of: "Org/other")
            #expect(other.files.map(\.path) == ["LICENSE", "model.gguf"])
            #expect(try other.source == registry.manifest(of: "net").source)
            #expect(try registry.verify("Org/other").problems == [])
        }
    }

    @Test("quantising what is quantised into something larger is refused before anything is written")
    func refusesLossForNothing() async throws {
        try await withTemporaryDirectory { scratch in
            let output = scratch + "/net.gguf"
            let run = try await ClusterFixture.fathom(
                ["model", "quantize", ModelCatalogue.defaultTextModel, "--type", "Q8_0", "--output", output],
                scratch: scratch)
            #expect(run.status == 1 && run.output.contains("quantised already (Q4_1"), "\(run.output)")
            #expect(run.output.contains("--force"))
            #expect(!FileManager.default.fileExists(atPath: output))
        }
    }

    @Test("an option with an optional value gets the value that it means alone")
    func optionalValue() throws {
        #expect(FathomTool.optionalValues(["up", "--verify-models"]) == ["up", "--verify-models", "digest"])
        #expect(
            FathomTool.optionalValues(["up", "--verify-models", "--detach"])
                == ["up", "--verify-models", "digest", "--detach"])
        #expect(
            FathomTool.optionalValues(["up", "--verify-models", "signature"]) == ["up", "--verify-models", "signature"])
        for line in [
            ["up", "--verify-models=off"], ["up", "--verify-models", "digest"], ["up", "--verify-key", "k"],
        ] {
            #expect(throws: Never.self) { try FathomTool.parseAsRoot(line) }
        }
        #expect(throws: (any Error).self) { try FathomTool.parseAsRoot(["up", "--verify-models", "some"]) }
    }

    @Test("a result that cannot be written ends with an error, not with a crash or in silence")
    func fullDisk() async throws {
        try await withTemporaryDirectory { scratch in
            let sink = open("/dev/full", O_WRONLY)
            try #require(sink >= 0)
            defer { close(sink) }
            let pid = try ProcessSpawner(
                executable: ClusterFixture.executables + "/fathom", arguments: ["model", "list"],
                logPath: scratch + "/log", outputDescriptor: sink
            ).spawn()
            #expect(await ProcessSpawner.wait(for: pid) == 1)
            #expect(try read(scratch + "/log").contains("No space left on device"))
        }
    }
}
