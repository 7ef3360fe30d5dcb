/// Builds the syntax tree of a template from its tokens, by recursive descent over Jinja2's grammar.
struct Parser {
    /// Nesting of expressions and blocks; each level is a few stack frames.
    private static let maxDepth = 50

    private let tokens: [Token]
    private var index = 0
    private var depth = 0
    private var loopDepth = 0
    /// Operators in the tag so far: chains nest to the left without nesting the parser.
    private var operatorCount = 0
    private static let maxOperators = 1000

    /// The statements of `source`.
    static func parse(_ source: String) throws(ChatTemplateError) -> [Statement] {
        var parser = Parser(tokens: try Lexer.tokens(of: source))
        let (statements, _) = try parser.statements(until: [])
        return statements
    }

    /// Where macros' bodies may speak of arguments beyond their parameters; ascending.
    private let varargsIndices: [Int]
    private let kwargsIndices: [Int]

    private init(tokens: [Token]) {
        self.tokens = tokens
        varargsIndices = tokens.indices.filter { tokens[$0].kind == .name("varargs") }
        kwargsIndices = tokens.indices.filter { tokens[$0].kind == .name("kwargs") }
    }

    // MARK: - Tokens

    private var current: Token { tokens[index] }

    private mutating func advance() {
        if index < tokens.count - 1 { index += 1 }
    }

    private func error(_ message: String) -> ChatTemplateError {
        ChatTemplateError(code: .syntax, message: message, line: current.line)
    }

    private func unexpected(_ expected: String) -> ChatTemplateError {
        let got =
            switch current.kind {
            case .text, .end: "the end of the template"
            case .variableBegin, .variableEnd, .blockBegin, .blockEnd: "the end of the tag"
            case .name(let name): "\"\(name)\""
            case .string: "a string"
            case .int, .double: "a number"
            case .mark(let mark): "\"\(mark)\""
            }
        return error("expected \(expected), got \(got)")
    }

    /// Counts an operator. A chain of them is a deep tree, and walking or freeing that takes stack.
    private mutating func countOperator() throws(ChatTemplateError) {
        operatorCount += 1
        guard operatorCount <= Self.maxOperators else {
            throw ChatTemplateError(
                code: .limitExceeded, message: "more than \(Self.maxOperators) operators in one tag", line: current.line
            )
        }
    }

    private func isMark(_ mark: String) -> Bool { current.kind == .mark(mark) }
    private func isName(_ name: String) -> Bool { current.kind == .name(name) }

    private mutating func consumeMark(_ mark: String) -> Bool {
        guard isMark(mark) else { return false }
        advance()
        return true
    }

    private mutating func consumeName(_ name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    private mutating func expectMark(_ mark: String) throws(ChatTemplateError) {
        guard consumeMark(mark) else { throw unexpected("\"\(mark)\"") }
    }

    private mutating func expectName() throws(ChatTemplateError) -> String {
        guard case .name(let name) = current.kind else { throw unexpected("a name") }
        advance()
        return name
    }

    private mutating func expectBlockEnd() throws(ChatTemplateError) {
        guard current.kind == .blockEnd else { throw unexpected("the end of the tag") }
        advance()
    }

    private mutating func nested<T>(
        _ body: (inout Parser) throws(ChatTemplateError) -> T
    ) throws(ChatTemplateError) -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maxDepth else {
            throw ChatTemplateError(
                code: .limitExceeded, message: "nested deeper than \(Self.maxDepth)", line: current.line)
        }
        return try body(&self)
    }

    // MARK: - Statements

    /// Statements up to a block tag named in `ends`, whose name is consumed and given back.
    private mutating func statements(until ends: [String]) throws(ChatTemplateError) -> ([Statement], String) {
        try nested { (parser) throws(ChatTemplateError) in
            var statements: [Statement] = []
            while true {
                let line = parser.current.line
                parser.operatorCount = 0
                switch parser.current.kind {
                case .text(let text):
                    parser.advance()
                    statements.append(Statement(kind: .text(text), line: line))
                case .variableBegin:
                    parser.advance()
                    let expression = try parser.tupleOrExpression()
                    guard parser.current.kind == .variableEnd else { throw parser.unexpected("\"}}\"") }
                    parser.advance()
                    statements.append(Statement(kind: .output(expression), line: line))
                case .blockBegin:
                    parser.advance()
                    let name = try parser.expectName()
                    if ends.contains(name) { return (statements, name) }
                    statements.append(Statement(kind: try parser.block(name), line: line))
                case .end where ends.isEmpty:
                    return (statements, "")
                default:
                    throw parser.unexpected(ends.map { "{% \($0) %}" }.joined(separator: " or "))
                }
            }
        }
    }

    /// The body of a block up to `end`, which is consumed whole.
    private mutating func body(until end: String) throws(ChatTemplateError) -> [Statement] {
        try expectBlockEnd()
        let (statements, _) = try statements(until: [end])
        try expectBlockEnd()
        return statements
    }

    private mutating func block(_ name: String) throws(ChatTemplateError) -> Statement.Kind {
        switch name {
        case "for": return try forBlock()
        case "if": return try ifBlock()
        case "set": return try setBlock()
        case "macro":
            let name = try expectName()
            let parameters = try parameters()
            return .macro(try macroDefinition(name, parameters, end: "endmacro"))
        case "call":
            let parameters = isMark("(") ? try parameters() : []
            let call = try expression()
            guard case .call = call else { throw error("expected a call") }
            return .callBlock(try macroDefinition("caller", parameters, end: "endcall"), call: call)
        case "filter":
            let filters = try filterChain()
            return .filterBlock(filters, body: try body(until: "endfilter"))
        case "with": return try withBlock()
        case "generation":
            // Marks what the model wrote, for training; the text is the same.
            return .group(try body(until: "endgeneration"))
        case "break", "continue":
            guard loopDepth > 0 else { throw error("\(name) outside a loop") }
            try expectBlockEnd()
            return name == "break" ? .breakLoop : .continueLoop
        case "include", "import", "from", "extends", "block":
            throw error("tag \"\(name)\" is refused: a chat template is one file")
        default: throw error("tag \"\(name)\" is not implemented")
        }
    }

    private mutating func macroDefinition(
        _ name: String, _ parameters: [(name: String, defaultValue: Expression?)], end: String
    ) throws(ChatTemplateError) -> MacroDefinition {
        let outerLoops = loopDepth
        loopDepth = 0
        defer { loopDepth = outerLoops }
        let start = index
        let body = try body(until: end)
        func speaks(of indices: [Int]) -> Bool {
            var (low, high) = (0, indices.count)
            while low < high {
                let middle = (low + high) / 2
                if indices[middle] < start { low = middle + 1 } else { high = middle }
            }
            return low < indices.count && indices[low] < index
        }
        return MacroDefinition(
            name: name, parameters: parameters, body: body, takesMorePositional: speaks(of: varargsIndices),
            takesMoreNamed: speaks(of: kwargsIndices))
    }

    private mutating func forBlock() throws(ChatTemplateError) -> Statement.Kind {
        let target = try target()
        guard consumeName("in") else { throw unexpected("\"in\"") }
        // A conditional expression would swallow the loop's own `if`.
        let values = try tupleOrExpression(allowsCondition: false, end: "recursive")
        let filter = consumeName("if") ? try expression() : nil
        let isRecursive = consumeName("recursive")
        try expectBlockEnd()
        loopDepth += 1
        let (body, end) = try statements(until: ["else", "endfor"])
        loopDepth -= 1
        try expectBlockEnd()
        var otherwise: [Statement] = []
        if end == "else" {
            (otherwise, _) = try statements(until: ["endfor"])
            try expectBlockEnd()
        }
        return .forLoop(
            LoopStatement(
                target: target, values: values, filter: filter, isRecursive: isRecursive, body: body,
                otherwise: otherwise))
    }

    private mutating func ifBlock() throws(ChatTemplateError) -> Statement.Kind {
        var branches: [(condition: Expression, body: [Statement])] = []
        var otherwise: [Statement] = []
        var end = "elif"
        while end == "elif" {
            let condition = try tupleOrExpression()
            try expectBlockEnd()
            let body: [Statement]
            (body, end) = try statements(until: ["elif", "else", "endif"])
            branches.append((condition, body))
        }
        try expectBlockEnd()
        if end == "else" {
            (otherwise, _) = try statements(until: ["endif"])
            try expectBlockEnd()
        }
        return .ifElse(branches, otherwise: otherwise)
    }

    private mutating func setBlock() throws(ChatTemplateError) -> Statement.Kind {
        let target = try target(allowsAttribute: true)
        if consumeMark("=") {
            let value = try tupleOrExpression()
            try expectBlockEnd()
            return .set(target, value)
        }
        let filters = consumeMark("|") ? try filterChain() : []
        return .setBlock(target, filters: filters, body: try body(until: "endset"))
    }

    private mutating func withBlock() throws(ChatTemplateError) -> Statement.Kind {
        var assignments: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expectMark(",") }
            let target = try target(isSingle: true)
            try expectMark("=")
            assignments.append((target, try expression()))
        }
        return .with(assignments, body: try body(until: "endwith"))
    }

    private mutating func filterChain() throws(ChatTemplateError) -> [(name: String, arguments: Arguments)] {
        var filters: [(name: String, arguments: Arguments)] = []
        repeat {
            let name = try expectName()
            guard FilterName(rawValue: name) != nil else { throw error("filter \"\(name)\" is not implemented") }
            filters.append((name, isMark("(") ? try arguments() : Arguments()))
        } while consumeMark("|")
        return filters
    }

    private mutating func parameters() throws(ChatTemplateError) -> [(name: String, defaultValue: Expression?)] {
        var parameters: [(name: String, defaultValue: Expression?)] = []
        try expectMark("(")
        while !consumeMark(")") {
            if !parameters.isEmpty { try expectMark(",") }
            let name = try expectName()
            parameters.append((name, consumeMark("=") ? try expression() : nil))
        }
        return parameters
    }

    private mutating func target(
        allowsAttribute: Bool = false, isSingle: Bool = false
    ) throws(ChatTemplateError) -> Target {
        var targets: [Target] = []
        var isTuple = false
        repeat {
            if isName("in") || isMark("=") || current.kind == .blockEnd { break }
            if consumeMark("(") {
                targets.append(try nested { (parser) throws(ChatTemplateError) in try parser.target() })
                try expectMark(")")
            } else {
                let name = try expectName()
                let hasAttribute = allowsAttribute && consumeMark(".")
                targets.append(hasAttribute ? .attribute(name, try expectName()) : .name(name))
            }
            if isSingle || !isMark(",") { break }
            isTuple = true
        } while consumeMark(",")
        guard let first = targets.first else { throw unexpected("a name") }
        return isTuple ? .tuple(targets) : first
    }

    // MARK: - Expressions, loosest first

    /// An expression, or several with commas between, which are a tuple.
    private mutating func tupleOrExpression(
        allowsCondition: Bool = true, end: String? = nil
    ) throws(ChatTemplateError) -> Expression {
        let first = allowsCondition ? try expression() : try or()
        guard isMark(",") else { return first }
        var items = [first]
        while consumeMark(",") {
            if [.variableEnd, .blockEnd, .mark(")")].contains(current.kind) { break }
            if let end, isName(end) { break }
            items.append(allowsCondition ? try expression() : try or())
        }
        return .tuple(items)
    }

    private mutating func expression() throws(ChatTemplateError) -> Expression {
        try nested { (parser) throws(ChatTemplateError) in
            var value = try parser.or()
            while parser.consumeName("if") {
                try parser.countOperator()
                let condition = try parser.or()
                let otherwise = parser.consumeName("else") ? try parser.expression() : nil
                value = .conditional(condition: condition, then: value, otherwise: otherwise)
            }
            return value
        }
    }

    private mutating func or() throws(ChatTemplateError) -> Expression {
        var left = try and()
        while consumeName("or") {
            try countOperator()
            left = .or(left, try and())
        }
        return left
    }

    private mutating func and() throws(ChatTemplateError) -> Expression {
        var left = try not()
        while consumeName("and") {
            try countOperator()
            left = .and(left, try not())
        }
        return left
    }

    private mutating func not() throws(ChatTemplateError) -> Expression {
        guard consumeName("not") else { return try comparison() }
        return .unary(.not, try nested { (parser) throws(ChatTemplateError) in try parser.not() })
    }

    private mutating func comparison() throws(ChatTemplateError) -> Expression {
        let first = try sum()
        var rest: [(kind: ComparisonOperator, operand: Expression)] = []
        while true {
            let comparison: ComparisonOperator
            if case .mark(let mark) = current.kind, let found = ComparisonOperator(rawValue: mark) {
                comparison = found
                advance()
            } else if consumeName("in") {
                comparison = .contained
            } else if isName("not"), index + 1 < tokens.count, tokens[index + 1].kind == .name("in") {
                advance()
                advance()
                comparison = .notContained
            } else {
                break
            }
            rest.append((comparison, try sum()))
        }
        return rest.isEmpty ? first : .comparison(first, rest)
    }

    private mutating func sum() throws(ChatTemplateError) -> Expression {
        var left = try concatenation()
        while case .mark(let mark) = current.kind, mark == "+" || mark == "-",
            let found = BinaryOperator(rawValue: mark)
        {
            advance()
            try countOperator()
            left = .binary(found, left, try concatenation())
        }
        return left
    }

    private mutating func concatenation() throws(ChatTemplateError) -> Expression {
        var left = try product()
        while consumeMark("~") {
            try countOperator()
            left = .binary(.concatenate, left, try product())
        }
        return left
    }

    private mutating func product() throws(ChatTemplateError) -> Expression {
        var left = try power()
        while case .mark(let mark) = current.kind, ["*", "/", "//", "%"].contains(mark),
            let found = BinaryOperator(rawValue: mark)
        {
            advance()
            try countOperator()
            left = .binary(found, left, try power())
        }
        return left
    }

    private mutating func power() throws(ChatTemplateError) -> Expression {
        var left = try unary(allowsFilters: true)
        while consumeMark("**") {
            try countOperator()
            left = .binary(.power, left, try unary(allowsFilters: true))
        }
        return left
    }

    private mutating func unary(allowsFilters: Bool) throws(ChatTemplateError) -> Expression {
        var value: Expression
        if isMark("-") || isMark("+") {
            let sign: UnaryOperator = isMark("-") ? .negative : .positive
            advance()
            value = .unary(
                sign, try nested { (parser) throws(ChatTemplateError) in try parser.unary(allowsFilters: false) })
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return allowsFilters ? try filtersAndTests(value) : value
    }

    private mutating func postfix(_ start: Expression) throws(ChatTemplateError) -> Expression {
        var value = start
        while true {
            try countOperator()
            if consumeMark(".") {
                if case .int(let position) = current.kind {
                    advance()
                    value = .subscripted(value, .literal(.int(position)))
                } else {
                    value = .attribute(value, try expectName())
                }
            } else if consumeMark("[") {
                value = try subscription(value)
            } else if isMark("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    private mutating func subscription(_ value: Expression) throws(ChatTemplateError) -> Expression {
        var parts: [Expression?] = [nil]
        while !isMark("]") {
            if consumeMark(":") {
                parts.append(nil)
            } else {
                guard parts[parts.count - 1] == nil else { throw unexpected("\"]\"") }
                parts[parts.count - 1] = try expression()
            }
        }
        try expectMark("]")
        switch parts.count {
        case 1:
            guard let only = parts[0] else { throw error("expected an index") }
            return .subscripted(value, only)
        case 2: return .slice(value, start: parts[0], end: parts[1], step: nil)
        case 3: return .slice(value, start: parts[0], end: parts[1], step: parts[2])
        default: throw error("a slice with more than three parts")
        }
    }

    private mutating func filtersAndTests(_ start: Expression) throws(ChatTemplateError) -> Expression {
        var value = start
        while true {
            try countOperator()
            if consumeMark("|") {
                let name = try expectName()
                guard FilterName(rawValue: name) != nil else { throw error("filter \"\(name)\" is not implemented") }
                value = .filter(value, name, isMark("(") ? try arguments() : Arguments())
            } else if consumeName("is") {
                let isNegated = consumeName("not")
                let name = try expectName()
                guard TestName(rawValue: name) != nil else { throw error("test \"\(name)\" is not implemented") }
                value = .test(value, name, try testArguments(), isNegated: isNegated)
            } else if isMark("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    /// A test's arguments in parentheses, or a single one without: `x is divisibleby 3`.
    private mutating func testArguments() throws(ChatTemplateError) -> Arguments {
        if isMark("(") { return try arguments() }
        let startsArgument =
            switch current.kind {
            case .name(let name): !["else", "or", "and", "is", "if", "in", "not"].contains(name)
            case .string, .int, .double: true
            case .mark(let mark): mark == "[" || mark == "{"
            default: false
            }
        guard startsArgument else { return Arguments() }
        return Arguments(positional: [try postfix(try primary())])
    }

    private mutating func arguments() throws(ChatTemplateError) -> Arguments {
        var arguments = Arguments()
        try expectMark("(")
        var isFirst = true
        while !consumeMark(")") {
            defer { isFirst = false }
            if !isFirst {
                try expectMark(",")
                if consumeMark(")") { break }
            }
            if case .name(let name) = current.kind, index + 1 < tokens.count, tokens[index + 1].kind == .mark("=") {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else if isMark("*"), arguments.unpacked == nil {
                advance()
                arguments.unpacked = try expression()
            } else if isMark("**"), arguments.unpackedNamed == nil {
                advance()
                arguments.unpackedNamed = try expression()
            } else {
                guard arguments.named.isEmpty else { throw error("a positional argument after a named one") }
                arguments.positional.append(try expression())
            }
        }
        return arguments
    }

    private mutating func primary() throws(ChatTemplateError) -> Expression {
        switch current.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            // Strings next to each other are one.
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            return .literal(.string(text))
        case .int(let value):
            advance()
            return .literal(.int(value))
        case .double(let value):
            advance()
            return .literal(.double(value))
        case .mark("("):
            advance()
            if consumeMark(")") { return .tuple([]) }
            let value = try tupleOrExpression()
            try expectMark(")")
            return value
        case .mark("["):
            advance()
            return .list(try items(until: "]"))
        case .mark("{"):
            advance()
            return try dictionary()
        default:
            throw unexpected("an expression")
        }
    }

    private mutating func items(until end: String) throws(ChatTemplateError) -> [Expression] {
        var items: [Expression] = []
        while !consumeMark(end) {
            if !items.isEmpty {
                try expectMark(",")
                if consumeMark(end) { break }
            }
            items.append(try expression())
        }
        return items
    }

    private mutating func dictionary() throws(ChatTemplateError) -> Expression {
        var items: [(key: Expression, value: Expression)] = []
        while !consumeMark("}") {
            if !items.isEmpty {
                try expectMark(",")
                if consumeMark("}") { break }
            }
            let key = try expression()
            try expectMark(":")
            items.append((key, try expression()))
        }
        return .dictionary(items)
    }
}
