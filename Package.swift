// swift-tools-version: 6.2
import PackageDescription

// The module graph, bottom up. Arrows point one way only (docs/architecture.md); a target that needs a new arrow
// upwards is a design mistake, not a missing line here.

let warningsAndFeatures: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

func library(
    _ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil
) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: warningsAndFeatures)
}

func executable(_ name: String, directory: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "services/\(directory)", swiftSettings: warningsAndFeatures)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.target(name: name)] + dependencies, resources: resources,
        swiftSettings: warningsAndFeatures)
}

// Products of other packages; docs/dependencies.md says why each is here.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdHTTP2 = Target.Dependency.product(name: "HummingbirdHTTP2", package: "hummingbird")
let hummingbirdTesting = Target.Dependency.product(name: "HummingbirdTesting", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTP2 = Target.Dependency.product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1 = Target.Dependency.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
    name: "fathom",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.0"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // Numbers and file formats.
        .target(name: "CKernels"),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        library("Tensors"),
        library("Kernels", ["CKernels", "Tensors"]),
        library("ModelFiles", ["Tensors"]),
        library("ModelTools", ["ModelFiles", "Tensors"]),
        library("Tokenization", ["ModelFiles"]),
        library("ChatTemplate"),

        // The engine.
        library("InferenceCore"),
        library("Transformer", ["InferenceCore", "CKernels", "Kernels", "ModelFiles", "Tensors"]),
        library("Engine", ["InferenceCore", "ModelFiles", "Tensors", "Transformer"]),
        library("Encoder", ["COpenBLAS", "ModelFiles", "Tensors", "Tokenization"]),

        // The store's insides.
        library("VectorIndex"),
        library("RetrievalCore", ["VectorIndex"]),
        library("DocumentStore", ["RetrievalCore", "VectorIndex", crypto, grdb]),

        // RPC, identity, process assembly.
        library("Wire", [logging, nioCore, nioPosix, nioSSL, protobuf, serviceLifecycle]),
        library("WireProtocols", ["InferenceCore", "Wire", protobuf]),
        library("Identity", [crypto]),
        library(
            "ServiceSupport",
            ["Wire", "WireProtocols", argumentParser, configuration, logging, serviceLifecycle, unixSignals]),
        library(
            "ModelRegistry",
            ["ModelFiles", "Tensors", asyncHTTPClient, crypto, nioCore, nioHTTP1, nioPosix, nioSSL]),

        // Servers.
        library(
            "ShardServer",
            [
                "ChatTemplate", "Engine", "InferenceCore", "Kernels", "ModelFiles", "ModelRegistry", "ServiceSupport",
                "Tensors", "Tokenization", "Transformer", "Wire", "WireProtocols", logging, nioCore, protobuf,
                serviceLifecycle,
            ]),
        library(
            "StoreServer",
            [
                "DocumentStore", "Encoder", "RetrievalCore", "ServiceSupport", "Wire", "WireProtocols", logging,
                nioCore, serviceLifecycle,
            ]),
        library(
            "GatewayServer",
            [
                "Identity", "ServiceSupport", "Wire", "WireProtocols", crypto, httpTypes, hummingbird, hummingbirdCore,
                hummingbirdHTTP2, logging, nioCore, nioHTTP1, nioHTTP2, nioHTTPTypes, nioHTTPTypesHTTP1, nioSSL,
                serviceLifecycle,
            ]),
        library(
            "MonitorServer",
            [
                "ServiceSupport", "Wire", "WireProtocols", httpTypes, hummingbird, hummingbirdCore, logging, nioCore,
                serviceLifecycle,
            ],
            resources: [.embedInCode("Resources/dashboard.html")]),

        // The command-line tool.
        library(
            "FathomCommand",
            [
                "Encoder", "Engine", "Identity", "InferenceCore", "Kernels", "ModelFiles", "ModelRegistry",
                "ModelTools", "RetrievalCore", "ServiceSupport", "Tokenization", "Transformer", "VectorIndex", "Wire",
                "WireProtocols", argumentParser, asyncHTTPClient, crypto, logging, nioCore, nioHTTP1,
            ]),

        executable("fathom", directory: "fathom", ["FathomCommand"]),
        executable("fathom-gateway", directory: "gateway", ["GatewayServer", "ServiceSupport", argumentParser]),
        executable("fathom-shard", directory: "shard", ["ServiceSupport", "ShardServer", argumentParser]),
        executable("fathom-store", directory: "store", ["ServiceSupport", "StoreServer", argumentParser]),
        executable("fathom-monitor", directory: "monitor", ["MonitorServer", "ServiceSupport", argumentParser]),

        // Tests.
        tests("Kernels", ["CKernels", "Tensors"]),
        tests("ModelFiles", ["Tensors"]),
        tests("ModelTools", ["CKernels", "ModelFiles", "Tensors", "Transformer"]),
        tests("Tokenization", ["ModelFiles"]),
        tests("ChatTemplate", []),
        tests("InferenceCore", []),
        tests("Transformer", ["CKernels", "InferenceCore", "Kernels", "ModelFiles", "Tensors"]),
        tests("Engine", ["InferenceCore", "ModelFiles", "Transformer"]),
        tests("Encoder", ["ModelFiles", "Tokenization"]),
        tests("RetrievalCore", ["VectorIndex"]),
        tests("VectorIndex", []),
        tests("DocumentStore", ["RetrievalCore", "VectorIndex"]),
        tests("Wire", [logging, nioCore, nioEmbedded, nioPosix, nioSSL, protobuf]),
        tests("WireProtocols", ["InferenceCore", "Wire", protobuf]),
        tests("Identity", []),
        tests("ServiceSupport", ["Wire", "WireProtocols", configuration, logging]),
        tests("ModelRegistry", ["ModelFiles", "Tensors"]),
        tests(
            "ShardServer",
            [
                "ChatTemplate", "Engine", "InferenceCore", "Kernels", "ModelFiles", "ModelRegistry", "ModelTools",
                "ServiceSupport", "Tensors", "Tokenization", "Transformer", "Wire", "WireProtocols", logging,
            ]),
        tests(
            "StoreServer",
            [
                "DocumentStore", "Encoder", "ServiceSupport", "Wire", "WireProtocols", logging, nioCore, protobuf,
                serviceLifecycle,
            ]),
        tests(
            "GatewayServer",
            [
                "Identity", "ServiceSupport", "Wire", "WireProtocols", hummingbird, hummingbirdTesting, logging,
                nioCore,
                serviceLifecycle,
            ]),
        tests("MonitorServer", ["ServiceSupport", "Wire", "WireProtocols", hummingbird, hummingbirdTesting, logging]),
        tests("FathomCommand", ["ModelRegistry", argumentParser, asyncHTTPClient, nioCore, nioHTTP1]),
    ]
)
