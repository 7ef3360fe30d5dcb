import Configuration
import Foundation

/// The settings of one process. A key is the flag's name without dashes in front (`max-batched-tokens`); it is looked
/// up in the flags, then in the environment (`FATHOM_SHARD_MAX_BATCHED_TOKENS`), then in the YAML file given by
/// `--config` (`max-batched-tokens: 512`), and then has its default. An empty value means "not set": the default.
///
/// Snapshots of swift-configuration's providers do the looking up; they are asked one by one, not through one reader, because an
/// error message must say which of them held the bad value.
package struct ServiceConfiguration: Sendable {
    /// Kind of service: "gateway", "shard", "store", "monitor".
    package let service: String
    /// Settings that every service has.
    package private(set) var common = CommonConfiguration()

    private let sources: [Source]
    private let knownKeys: Set<String>
    private let bounds = SettingRecorder()
    /// Whether nothing was configured and only the bounds are of interest, see ``init(describing:options:flags:fileOnlyKeys:)``.
    private let isDescription: Bool

    private struct Source: Sendable {
        let snapshot: any ConfigSnapshot
        /// Where the value came from, in the user's terms: "--port", "FATHOM_SHARD_PORT", "shard.yaml: port".
        let describe: @Sendable (_ key: String) -> String
        let absoluteKey: @Sendable (_ key: String) -> AbsoluteConfigKey
    }

    private struct Found {
        let text: String
        let origin: String
    }

    /// Loads and checks the settings.
    ///
    /// - Parameters:
    ///   - service: "shard" and so on; also the part of environment variables after `FATHOM_`.
    ///   - options: the common flags, `--config` among them.
    ///   - flags: the service's own flags; their keys, given or not, are the keys the service knows.
    ///   - fileOnlyKeys: keys that have no flag.
    ///   - defaultPort: of ``CommonConfiguration/port``.
    ///   - environment: the process's environment unless a test gives another.
    /// - Throws: ``ConfigurationError`` for a file that cannot be read, a key nobody knows, a bad common setting.
    package init(
        service: String, options: CommonOptions, flags: ServiceFlags = [:],
        fileOnlyKeys: [String] = [], defaultPort: Int = 0,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        let allFlags = options.flags.merging(flags)
        let keys = Set(allFlags.keys + fileOnlyKeys)
        self.service = service
        knownKeys = keys
        isDescription = false
        var sources = [Self.flagSource(allFlags), Self.environmentSource(service, environment)]
        if let path = options.config, !path.isEmpty {
            sources.append(try Self.fileSource(path: path, service: service, knownKeys: keys))
        }
        self.sources = sources
        common = try CommonConfiguration(self, defaultPort: defaultPort)
    }

    /// A configuration in which nothing is set, for reading once what bounds its settings have: whoever reads a setting
    /// states them. What is needed counts as given.
    package init(
        describing service: String, options: CommonOptions, flags: ServiceFlags, fileOnlyKeys: [String] = [],
        defaultPort: Int
    ) throws {
        self.service = service
        knownKeys = Set(options.flags.merging(flags).keys + fileOnlyKeys)
        isDescription = true
        sources = []
        common = try CommonConfiguration(self, defaultPort: defaultPort)
    }

    /// Every setting that the service knows, by key, with the bounds of those that were read so far.
    package var descriptions: [SettingDescription] {
        let read = bounds.descriptions
        return knownKeys.sorted().map { read[$0] ?? SettingDescription(key: $0, kind: .text) }
    }

    /// Where the value of a setting comes from, in the user's terms: "--port", "FATHOM_SHARD_PORT", "shard.yaml: port".
    /// The flag's name when nothing sets it.
    package func origin(of key: String) -> String {
        (try? find(key)).flatMap { $0?.origin } ?? "--\(key)"
    }

    /// Text, or nil when not set.
    package func string(_ key: String) throws -> String? {
        try find(key)?.text
    }

    /// Text with a default.
    package func string(_ key: String, default defaultValue: String) throws -> String {
        try find(key)?.text ?? defaultValue
    }

    /// Text without which the service cannot start. `hint` completes "needed: …" in the message.
    package func requiredString(_ key: String, hint: String) throws -> String {
        guard let found = try find(key) else {
            if isDescription { return key }
            let variable = Self.environmentVariable(service, key)
            throw ConfigurationError(.missingValue, "--\(key) (or \(variable)) is needed: \(hint)")
        }
        return found.text
    }

    /// One of a few words, by its raw value.
    package func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, default defaultValue: Choice
    ) throws -> Choice where Choice.RawValue == String {
        let expected = "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", ")
        bounds.note(SettingDescription(key: key, kind: .choice, choices: Choice.allCases.map(\.rawValue)))
        return try parsed(key, expected: expected) { Choice(rawValue: $0) } ?? defaultValue
    }

    /// A whole number in `range`, or nil when not set. Underscores between digits are allowed, as in Swift.
    package func int(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max) throws -> Int? {
        bounds.note(SettingDescription(integer: key, in: range))
        return try parsed(key, expected: "a whole number" + Self.text(of: range)) { text in
            Int(text.replacing("_", with: "")).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A whole number in `range`, with a default.
    package func int(
        _ key: String, default defaultValue: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws -> Int {
        try int(key, in: range) ?? defaultValue
    }

    /// A finite number in `range`, with a default.
    package func double(
        _ key: String, default defaultValue: Double, in range: ClosedRange<Double>
    ) throws -> Double {
        let expected = "a number in \(range.lowerBound)...\(range.upperBound)"
        bounds.note(
            SettingDescription(key: key, kind: .number, minimum: range.lowerBound, maximum: range.upperBound))
        return try parsed(key, expected: expected) { text in
            Double(text).flatMap { range.contains($0) ? $0 : nil }
        } ?? defaultValue
    }

    /// A switch: true/false, yes/no, on/off, 1/0.
    package func bool(_ key: String, default defaultValue: Bool) throws -> Bool {
        bounds.note(SettingDescription(key: key, kind: .boolean))
        return try parsed(key, expected: "true or false") { text in
            switch text.lowercased() {
            case "true", "yes", "on", "1": true
            case "false", "no", "off", "0": false
            default: nil
            }
        } ?? defaultValue
    }

    /// A length of time: a number with unit ms, s, m or h; a bare number is seconds.
    package func duration(
        _ key: String, default defaultValue: Duration, in range: ClosedRange<Duration> = .zero...(.seconds(86_400))
    ) throws -> Duration {
        let expected = "a duration such as 500ms, 20s, 5m or 1h, in \(range.lowerBound)...\(range.upperBound)"
        bounds.note(
            SettingDescription(
                key: key, kind: .seconds, minimum: range.lowerBound / .seconds(1),
                maximum: range.upperBound / .seconds(1)))
        return try parsed(key, expected: expected) { text in
            Self.duration(parsing: text).flatMap { range.contains($0) ? $0 : nil }
        } ?? defaultValue
    }

    /// A list: a repeated or comma-separated flag, a comma-separated variable, or in the file either that or a YAML
    /// sequence. Empty when not set.
    package func strings(_ key: String) throws -> [String] {
        precondition(knownKeys.contains(key), "setting \(key) was not declared for \(service)")
        bounds.note(SettingDescription(key: key, kind: .list))
        for source in sources {
            if let list = try? source.snapshot.value(forKey: source.absoluteKey(key), type: .stringArray).value,
                case .stringArray(let items) = list.content
            {
                return items.map(Self.trimmed).filter { !$0.isEmpty }
            }
            if let text = try lookUp(key, in: source)?.text {
                return text.split(separator: ",").map { Self.trimmed(String($0)) }.filter { !$0.isEmpty }
            }
        }
        return []
    }

    /// The error for a value that this type accepted but its user cannot use, in the same form as its own errors.
    package func invalid(_ key: String, expected: String) -> ConfigurationError {
        let found = (try? find(key)).flatMap { $0 }
        let origin = found?.origin ?? "--\(key)"
        return ConfigurationError(.invalidValue, "\(origin): got \"\(found?.text ?? "")\", expected \(expected)")
    }

    // MARK: Looking up

    private func parsed<Value>(_ key: String, expected: String, _ parse: (String) -> Value?) throws -> Value? {
        guard let found = try find(key) else { return nil }
        guard let value = parse(found.text) else {
            throw ConfigurationError(
                .invalidValue, "\(found.origin): got \"\(found.text.prefix(200))\", expected \(expected)")
        }
        return value
    }

    private func find(_ key: String) throws -> Found? {
        precondition(knownKeys.contains(key), "setting \(key) was not declared for \(service)")
        for source in sources {
            if let found = try lookUp(key, in: source) {
                return found.text.isEmpty ? nil : found
            }
        }
        return nil
    }

    private func lookUp(_ key: String, in source: Source) throws -> Found? {
        let value: ConfigValue?
        do {
            value = try source.snapshot.value(forKey: source.absoluteKey(key), type: .string).value
        } catch {
            throw ConfigurationError(
                .invalidValue, "\(source.describe(key)): got a list or a group, expected one value", cause: error)
        }
        guard let value, case .string(let text) = value.content else { return nil }
        return Found(text: Self.trimmed(text), origin: source.describe(key))
    }

    // MARK: Sources

    private static func flagSource(_ flags: ServiceFlags) -> Source {
        let values =
            flags.values.map { (AbsoluteConfigKey([$0.key]), ConfigValue(.string($0.value), isSecret: false)) }
            + flags.lists.map { (AbsoluteConfigKey([$0.key]), ConfigValue(.stringArray($0.value), isSecret: false)) }
        return Source(
            snapshot: InMemoryProvider(name: "flags", values: Dictionary(uniqueKeysWithValues: values)).snapshot(),
            describe: { "--\($0)" },
            absoluteKey: { AbsoluteConfigKey([$0]) })
    }

    private static func environmentSource(_ service: String, _ environment: [String: String]) -> Source {
        Source(
            snapshot: EnvironmentVariablesProvider(environmentVariables: environment).snapshot(),
            describe: { environmentVariable(service, $0) },
            absoluteKey: { AbsoluteConfigKey(["fathom", service, $0]) })
    }

    private static func fileSource(path: String, service: String, knownKeys: Set<String>) throws -> Source {
        let file = try ConfigurationFile(path: path)
        for key in file.keys where !knownKeys.contains(key) {
            var message = "\(path): unknown key \"\(key)\""
            if let nearest = nearestKey(to: key, in: knownKeys) { message += "; did you mean \"\(nearest)\"?" }
            throw ConfigurationError(
                .unknownKey, "\(message) (fathom-\(service) knows: \(knownKeys.sorted().joined(separator: ", ")))")
        }
        return Source(
            snapshot: file.snapshot, describe: { "\(path): \($0)" }, absoluteKey: { AbsoluteConfigKey([$0]) })
    }

    /// `FATHOM_SHARD_MAX_BATCHED_TOKENS` for "shard" and "max-batched-tokens".
    package static func environmentVariable(_ service: String, _ key: String) -> String {
        "FATHOM_\(service)_\(key)".uppercased().replacing("-", with: "_").replacing(".", with: "_")
    }

    private static func trimmed(_ text: String) -> String {
        text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static func text(of range: ClosedRange<Int>) -> String {
        switch (range.lowerBound, range.upperBound) {
        case (Int.min, Int.max): ""
        case (let lower, Int.max): " of at least \(lower)"
        case (let lower, let upper): " in \(lower)...\(upper)"
        }
    }
}
