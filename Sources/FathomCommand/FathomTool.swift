import ArgumentParser
import ModelRegistry
import ServiceSupport

/// The `fathom` command.
package struct FathomTool: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "fathom", abstract: "Runs and uses private language models.", version: FathomVersion.current,
        subcommands: [
            UpCommand.self, DownCommand.self, StatusCommand.self, ChatCommand.self, IngestCommand.self, AskCommand.self,
            ModelCommand.self, KeyCommand.self, BenchCommand.self, ProbeCommand.self, SuperviseCommand.self,
        ])

    package init() {}

    /// Parses the command line and runs the command; ends the process with its exit status when that is not 0.
    ///
    /// Not ArgumentParser's own `main`, because that leaves the main thread, and ``SuperviseCommand`` needs it.
    @MainActor
    package static func runMain(_ arguments: [String]) async {
        ChildLauncher.runIfRequested(arguments)
        var parsed: any ParsableCommand.Type = Self.self
        do {
            var command = try parseAsRoot(optionalValues(Array(arguments.dropFirst())))
            parsed = type(of: command)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            end(parsed, with: error)
        }
    }

    /// Options that may stand without a value get the value that this means; ArgumentParser knows no such options.
    package static func optionalValues(_ arguments: [String]) -> [String] {
        var result: [String] = []
        for (index, argument) in arguments.enumerated() {
            result.append(argument)
            guard argument == "--verify-models" else { continue }
            let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
            if next.hasPrefix("-") { result.append(ModelVerificationMode.digest.rawValue) }
        }
        return result
    }

    /// Says what went wrong and ends with the exit status that belongs to it: 0 for `--help`, 64 for a command line that
    /// cannot be meant, 1 for a command that failed.
    private static func end(_ command: any ParsableCommand.Type, with error: any Error) -> Never {
        let status = exitCode(for: error)
        // ArgumentParser knows its own errors; of others it would print types and cases.
        let isOurs = !(error is ValidationError || error is ExitCode || error is CleanExit) && status == .failure
        let message =
            switch error {
            // Thrown while running: ArgumentParser would show the usage of the whole tool.
            case let error as ValidationError: "Error: \(error.message)\nUsage: \(usageString(for: command))"
            default: isOurs ? "Error: " + ErrorText.describe(error) : fullMessage(for: error)
            }
        Terminal.endProgress()
        if !message.isEmpty {
            if status == .success { Terminal.write(message + "\n") } else { Terminal.note(message) }
        }
        Terminal.end(status.rawValue)
    }
}
