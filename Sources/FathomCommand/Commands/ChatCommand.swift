import ArgumentParser
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `fathom chat`.
struct ChatCommand: AsyncParsableCommand {
    /// Most messages kept; older pairs are dropped first, because the model's context is finite too.
    static let maximumMessages = 200

    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talks with the model; /reset forgets, /exit ends. Reads questions from a pipe too.")

    @OptionGroup var gateway: GatewayOptions

    @Option(help: "What the model is told before the first question.")
    var system: String?

    @Option(name: .customLong("max-tokens"), help: "Longest answer.")
    var maxTokens = 512

    @Option(help: "0 is the same answer every time.")
    var temperature = 0.2

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens is \(maxTokens); expected 1 or more") }
        guard (0...2).contains(temperature) else {
            throw ValidationError("--temperature is \(temperature); expected 0...2")
        }
    }

    func run() async throws {
        try await gateway.withGateway { client, model in
            let isInteractive = isatty(STDIN_FILENO) == 1
            var messages = opening
            if isInteractive { Terminal.note("\(TerminalText.line(model)); /reset forgets, /exit ends.") }
            while true {
                if isInteractive { Terminal.write("> ") }
                guard let line = readLine() else { break }
                switch line.trimmingCharacters(in: .whitespaces) {
                case "": continue
                case "/exit", "/quit": return
                case "/reset": messages = opening
                default:
                    messages.append(ChatMessage(role: "user", content: line))
                    if let answer = try await answer(messages, client: client, model: model, mayFail: isInteractive) {
                        messages.append(ChatMessage(role: "assistant", content: answer))
                    } else {
                        messages.removeLast()
                    }
                    while messages.count > Self.maximumMessages {
                        messages.removeSubrange(opening.count..<opening.count + 2)
                    }
                }
            }
        }
    }

    private var opening: [ChatMessage] { system.map { [ChatMessage(role: "system", content: $0)] } ?? [] }

    /// Streams one answer; nil when it failed and the conversation may go on.
    private func answer(
        _ messages: [ChatMessage], client: GatewayClient, model: String, mayFail: Bool
    ) async throws -> String? {
        let request = ChatRequest(model: model, messages: messages, maxTokens: maxTokens, temperature: temperature)
        var text = ""
        do {
            try await client.streamChat(request) { chunk in
                for choice in chunk.choices ?? [] {
                    let part = choice.delta?.content ?? ""
                    text += part
                    Terminal.write(part)
                }
            }
        } catch let error as CommandError where mayFail {
            Terminal.note("\nError: \(error.message)")
            return nil
        }
        Terminal.write("\n")
        return text
    }
}
