/// An expression.
indirect enum Expression: Sendable {
    case literal(JinjaValue)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case subscripted(Expression, Expression)
    case slice(Expression, start: Expression?, end: Expression?, step: Expression?)
    case call(Expression, Arguments)
    case filter(Expression, String, Arguments)
    case test(Expression, String, Arguments, isNegated: Bool)
    case unary(UnaryOperator, Expression)
    case binary(BinaryOperator, Expression, Expression)
    /// `a < b <= c`: each comparison shares an operand with the next.
    case comparison(Expression, [(kind: ComparisonOperator, operand: Expression)])
    case and(Expression, Expression)
    case or(Expression, Expression)
    case conditional(condition: Expression, then: Expression, otherwise: Expression?)
}

enum UnaryOperator: Sendable { case not, negative, positive }

enum BinaryOperator: String {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
    case concatenate = "~"
}

enum ComparisonOperator: String {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contained = "in"
    case notContained = "not in"
}

/// Arguments of a call, filter or test, not yet evaluated.
struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
    /// `*expression`, whose elements follow the positional arguments.
    var unpacked: Expression?
    /// `**expression`, whose items follow the named arguments.
    var unpackedNamed: Expression?
}

/// What a `for` or `set` assigns to.
indirect enum Target: Sendable {
    case name(String)
    case attribute(String, String)
    case tuple([Target])
}

/// A statement, with the line it starts on.
struct Statement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(Expression)
        case forLoop(LoopStatement)
        case ifElse([(condition: Expression, body: [Statement])], otherwise: [Statement])
        case set(Target, Expression)
        case setBlock(Target, filters: [(name: String, arguments: Arguments)], body: [Statement])
        case macro(MacroDefinition)
        case callBlock(MacroDefinition, call: Expression)
        case filterBlock([(name: String, arguments: Arguments)], body: [Statement])
        case with([(target: Target, value: Expression)], body: [Statement])
        /// Statements that only stand together.
        case group([Statement])
        case breakLoop
        case continueLoop
    }

    let kind: Kind
    let line: Int
}

/// A `for` statement.
final class LoopStatement: Sendable {
    let target: Target
    let values: Expression
    let filter: Expression?
    let isRecursive: Bool
    let body: [Statement]
    /// What is rendered when there is nothing to walk over.
    let otherwise: [Statement]

    init(
        target: Target, values: Expression, filter: Expression?, isRecursive: Bool, body: [Statement],
        otherwise: [Statement]
    ) {
        self.target = target
        self.values = values
        self.filter = filter
        self.isRecursive = isRecursive
        self.body = body
        self.otherwise = otherwise
    }
}

/// A macro, or the body that a `call` block hands to one.
final class MacroDefinition: Sendable {
    let name: String
    let parameters: [(name: String, defaultValue: Expression?)]
    let body: [Statement]
    /// Whether the body speaks of `varargs`, and so takes positional arguments beyond its parameters.
    let takesMorePositional: Bool
    /// Whether the body speaks of `kwargs`, and so takes named arguments that are no parameters.
    let takesMoreNamed: Bool

    init(
        name: String, parameters: [(name: String, defaultValue: Expression?)], body: [Statement],
        takesMorePositional: Bool, takesMoreNamed: Bool
    ) {
        self.name = name
        self.parameters = parameters
        self.body = body
        self.takesMorePositional = takesMorePositional
        self.takesMoreNamed = takesMoreNamed
    }
}
