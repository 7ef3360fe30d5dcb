import ArgumentParser
import FathomCommand
import Testing

struct ModelReportTests {
    @Test(
        "sizes are read with decimal and binary units",
        arguments: [("1024", 1024), ("16GiB", 17_179_869_184), ("1.5 MB", 1_500_000), ("2kib", 2048), ("7B", 7)])
    func sizes(text: String, bytes: Int) throws {
        #expect(try SizeText.parse(text) == bytes)
    }

    @Test("other texts are no sizes", arguments: ["", "GiB", "-1", "1 XB", "1e5", "0", "99999999TiB"])
    func noSizes(text: String) {
        #expect(throws: CommandError.self) { try SizeText.parse(text) }
    }

    @Test("every command of `model` parses its usual form")
    func commands() throws {
        for line in [
            "pull hf:a/b --include *.gguf --include *.json --parallel 2", "import x --name a --version 1 --copy",
            "list --json", "rm a:1", "alias a b", "alias a", "verify a b --key k", "sign a --key k",
            "keygen --output k",
            "inspect m --stages 3 --memory 16GiB --json", "quantize m --type q4_k_m --output o --text t --force",
            "convert d --output o", "card m --evaluation e",
        ] {
            #expect(throws: Never.self, "\(line)") {
                try FathomTool.parseAsRoot(["model"] + line.split(separator: " ").map(String.init))
            }
        }
        #expect(throws: (any Error).self) { try FathomTool.parseAsRoot(["model", "quantize", "m"]) }
    }
}
