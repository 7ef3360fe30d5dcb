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
        do {
            var command = try parseAsRoot(Array(arguments.dropFirst()))
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }
}
