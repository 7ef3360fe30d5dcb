import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What goes to the terminal. Everything passes through here, so that nothing from outside is obeyed by one, see
/// ``TerminalText``.
enum Terminal {
    static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// Text on standard output, at once: escaped where that is a terminal, byte for byte elsewhere.
    static func write(_ text: String) {
        output(isatty(STDOUT_FILENO) == 1 ? TerminalText.escaped(text) : text)
    }

    /// A line for people, not for pipes.
    static func note(_ text: String) {
        put(TerminalText.escaped(text) + "\n", on: STDERR_FILENO)
    }

    /// A line that replaces itself; nothing when nobody watches.
    static func progress(_ text: String) {
        if isInteractive { put("\r\u{1b}[K" + TerminalText.line(text), on: STDERR_FILENO) }
    }

    /// Removes the line of `progress`.
    static func endProgress() {
        if isInteractive { put("\r\u{1b}[K", on: STDERR_FILENO) }
    }

    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
        output(isatty(STDOUT_FILENO) == 1 ? TerminalText.json(text) : text)
    }

    /// A result that does not arrive is a failure, such as into a file on a full disk: the process ends with status 1.
    private static func output(_ text: String) {
        let number = put(text, on: STDOUT_FILENO)
        guard number != 0 else { return }
        // Whoever read a pipe has seen enough.
        if number != EPIPE { note("Error: cannot write the output: \(String(cString: strerror(number)))") }
        end(1)
    }

    /// Ends the process.
    static func end(_ status: Int32) -> Never { exit(status) }

    /// - Returns: 0, or the error's number.
    @discardableResult
    private static func put(_ text: String, on descriptor: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                #if canImport(Glibc)
                let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                #elseif canImport(Musl)
                let count = Musl.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                #else
                let count = Darwin.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                #endif
                if count > 0 {
                    written += count
                    continue
                }
                switch errno {
                case EINTR: continue
                case EAGAIN:
                    var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&state, 1, 1_000)
                case let number: return number
                }
            }
            return 0
        }
    }
}
