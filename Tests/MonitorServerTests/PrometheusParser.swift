/// A strict reader of the Prometheus text format, written from its specification and independent of the renderer, so
/// that the two hold each other.
struct PrometheusParser {
    struct ParseError: Error, CustomStringConvertible {
        let description: String
    }

    struct Series: Equatable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    var types: [String: String] = [:]
    var helps: [String: String] = [:]
    var series: [Series] = []

    init(_ text: String) throws {
        guard text.isEmpty || text.hasSuffix("\n") else { throw ParseError(description: "no line feed at the end") }
        var lastFamily: String?
        var finishedFamilies: Set<String> = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                let name = String(parts[0])
                guard helps.updateValue(parts.count > 1 ? String(parts[1]) : "", forKey: name) == nil else {
                    throw ParseError(description: "HELP twice for \(name)")
                }
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ")
                guard parts.count == 2, ["counter", "gauge", "histogram"].contains(parts[1]) else {
                    throw ParseError(description: "bad TYPE line: \(line)")
                }
                guard types.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else {
                    throw ParseError(description: "TYPE twice for \(parts[0])")
                }
            } else {
                let one = try Self.series(String(line))
                let family = types[one.name] != nil ? one.name : Self.baseName(one.name)
                guard types[family] != nil else { throw ParseError(description: "no TYPE before \(one.name)") }
                if family != lastFamily {
                    guard !finishedFamilies.contains(family) else {
                        throw ParseError(description: "series of \(family) are not together")
                    }
                    lastFamily.map { _ = finishedFamilies.insert($0) }
                    lastFamily = family
                }
                guard !series.contains(where: { $0.name == one.name && $0.labels == one.labels }) else {
                    throw ParseError(description: "series twice: \(line)")
                }
                series.append(one)
            }
        }
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        series.first { $0.name == name && $0.labels == labels }?.value
    }

    private static func baseName(_ name: String) -> String {
        for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
            return String(name.dropLast(suffix.count))
        }
        return name
    }

    private static func series(_ line: String) throws -> Series {
        var rest = Substring(line)
        let name = String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == ":" })
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while rest.first != "}" {
                let key = String(rest.prefix { $0 != "=" })
                rest = rest.dropFirst(key.count)
                guard rest.hasPrefix("=\"") else { throw ParseError(description: "bad label in \(line)") }
                rest = rest.dropFirst(2)
                var value = String.UnicodeScalarView()
                var scalars = rest.unicodeScalars
                while let scalar = scalars.popFirst(), scalar != "\"" {
                    guard scalar == "\\" else {
                        value.append(scalar)
                        continue
                    }
                    switch scalars.popFirst() {
                    case "n": value.append("\n")
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    default: throw ParseError(description: "bad escape in \(line)")
                    }
                }
                rest = Substring(scalars)
                guard labels.updateValue(String(value), forKey: key) == nil else {
                    throw ParseError(description: "label twice in \(line)")
                }
                if rest.first == "," { rest = rest.dropFirst() }
                guard !rest.isEmpty else { throw ParseError(description: "labels do not end in \(line)") }
            }
            rest = rest.dropFirst()
        }
        guard rest.first == " " else { throw ParseError(description: "no space before the value in \(line)") }
        let number = String(rest.dropFirst())
        let value: Double? = number == "+Inf" ? .infinity : number == "-Inf" ? -.infinity : Double(number)
        guard let value else { throw ParseError(description: "bad number in \(line)") }
        return Series(name: name, labels: labels, value: value)
    }
}
