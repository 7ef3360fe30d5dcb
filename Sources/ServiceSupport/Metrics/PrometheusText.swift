/// Prometheus text exposition format 0.0.4: HELP and TYPE once per metric, all its series after them, everything that
/// came from outside escaped.
package enum PrometheusText {
    /// The Content-Type of the format.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Renders the samples. Samples of one name are brought together under one HELP and TYPE in the order in which the
    /// name first occurs; a sample whose kind contradicts the first one of its name, or whose series was already
    /// printed, is left out, because either would make the whole page unreadable to Prometheus.
    package static func render(_ samples: [MetricSample]) -> String {
        var order: [String] = []
        var byName: [String: [MetricSample]] = [:]
        for sample in samples {
            if byName[sample.name] == nil { order.append(sample.name) }
            byName[sample.name, default: []].append(sample)
        }
        var text = ""
        for name in order {
            guard let family = byName[name], let first = family.first else { continue }
            let kind = first.value.kind
            text += "# HELP \(name) \(escapedHelp(first.help))\n# TYPE \(name) \(kind)\n"
            var seen: Set<Set<MetricSample.Label>> = []
            for sample in family where sample.value.kind == kind && seen.insert(Set(sample.labels)).inserted {
                append(sample, to: &text)
            }
        }
        return text
    }

    /// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*` and is of sane length.
    package static func isMetricName(_ name: String) -> Bool {
        isName(name, allowsColon: true)
    }

    /// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*` and is of sane length.
    package static func isLabelName(_ name: String) -> Bool {
        isName(name, allowsColon: false)
    }

    /// A label value with backslash, quote and line feed escaped.
    package static func escapedLabelValue(_ value: String) -> String {
        escaped(value, quotes: true)
    }

    /// A number as Prometheus reads it: shortest form that gives the same double back; whole numbers without ".0".
    package static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    private static func append(_ sample: MetricSample, to text: inout String) {
        switch sample.value {
        case .counter(let value), .gauge(let value):
            text += "\(sample.name)\(labelText(sample.labels)) \(number(value))\n"
        case .histogram(let histogram):
            var cumulative: UInt64 = 0
            for (index, count) in histogram.counts.enumerated() {
                cumulative &+= count
                let bound = index < histogram.bounds.count ? number(histogram.bounds[index]) : "+Inf"
                text += "\(sample.name)_bucket\(labelText(sample.labels, upperBound: bound)) \(cumulative)\n"
            }
            text += "\(sample.name)_sum\(labelText(sample.labels)) \(number(histogram.sum))\n"
            text += "\(sample.name)_count\(labelText(sample.labels)) \(cumulative)\n"
        }
    }

    private static func labelText(_ labels: [MetricSample.Label], upperBound: String? = nil) -> String {
        var parts = labels.map { "\($0.name)=\"\(escapedLabelValue($0.value))\"" }
        if let upperBound { parts.append("le=\"\(upperBound)\"") }
        return parts.isEmpty ? "" : "{\(parts.joined(separator: ","))}"
    }

    private static func escapedHelp(_ help: String) -> String {
        escaped(help, quotes: false)
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        // Unicode scalars, not characters: "\r\n" is one Character and would slip through.
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func isName(_ name: String, allowsColon: Bool) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 200, !(48...57).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122, UInt8(ascii: "_"): true
            case UInt8(ascii: ":"): allowsColon
            default: false
            }
        }
    }
}
