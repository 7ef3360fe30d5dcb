import ArgumentParser

/// `fathom model`.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Fetches, checks, describes and converts models.",
        subcommands: [
            Pull.self, Import.self, List.self, Remove.self, Alias.self, Verify.self, Sign.self, KeyGenerate.self,
            Inspect.self, Check.self, Quantize.self, Convert.self, Card.self, TokenizeCommand.self,
        ])
}
