import ArgumentParser
import Foundation
import Tokenization

/// `fathom model tokenize`.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turns JSON strings into JSON arrays of token ids, line by line.",
        discussion: """
            Reads one JSON string a line from standard input and writes its token ids as one JSON array a line. The
            text of special tokens becomes these tokens; none are added. Exit status 1, naming the line, when a line is
            no JSON string.
            """)

    @Option(help: "tokenizer.json, a folder that has one, a GGUF file, or an installed model.")
    var tokenizer: String

    @Flag(help: "Add the special tokens that the model expects around a text (BOS, [CLS] and the like).")
    var special = false

    /// A path that is there, or the installed model's.
    private func path() throws -> String {
        FileManager.default.fileExists(atPath: tokenizer) ? tokenizer : try ModelLocation.path(tokenizer)
    }

    func run() throws {
        var lines = TokenizedLines(
            tokenizer: try TokenizerLoader.load(path: path(), framing: .postProcessor), addsSpecial: special)
        let output = FileHandle.standardOutput
        do {
            while true {
                let input = FileHandle.standardInput.availableData
                if input.isEmpty { break }
                defer { lines.output.removeAll(keepingCapacity: true) }
                do { try lines.read(input) } catch {
                    try output.write(contentsOf: lines.output)
                    throw error
                }
                try output.write(contentsOf: lines.output)
            }
            try lines.finish()
            try output.write(contentsOf: lines.output)
        } catch let error as TokenizedLines.LineError {
            Terminal.note(error.description)
            throw ExitCode(1)
        }
    }
}
