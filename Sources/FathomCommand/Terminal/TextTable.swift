import Foundation

/// A table with columns as wide as they need to be. Cells are one line each, whatever they hold.
struct TextTable {
    private var rows: [[String]]

    init(header: [String]) {
        rows = [header]
    }

    mutating func add(_ row: [String]) { rows.append(row.map(TerminalText.line)) }

    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}

/// Numbers for people.
enum NumberText {
    /// One digit after the point above 10, two below.
    static func format(_ value: Double, _ unit: String) -> String {
        String(format: value >= 10 ? "%.1f" : "%.2f", value) + " " + unit
    }
}
