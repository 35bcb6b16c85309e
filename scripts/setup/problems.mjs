/** A problem that a person can do something about: the message says what is wrong, and what to do next. */
export class SetupProblem extends Error {
  constructor(message, options) {
    super(message, options)
    this.name = 'SetupProblem'
  }
}

const AGAIN = 'then run the command again; what is installed already stays.'

export const problems = {
  noRegistry: (said) =>
    new SetupProblem(
      'No npm registry can be reached, and set-up needs one the first time (later starts need none).\n' +
        `  It said: ${said}\n` +
        'Check the network and, behind a proxy, HTTPS_PROXY. `npm ping` shows whether npm gets through, and\n' +
        `\`npm config get registry\` which registry it asks. Put that right, ${AGAIN}`,
    ),
  untrusted: (said) =>
    new SetupProblem(
      'The npm registry answers with a certificate that this machine does not trust, as a proxy in between does.\n' +
        `  It said: ${said}\n` +
        "Give npm the proxy's certificate (`npm config set cafile <file>` and NODE_EXTRA_CA_CERTS=<file>), " +
        AGAIN,
    ),
  readOnly: (folder, code) =>
    new SetupProblem(
      `${folder} cannot be written (${code}), and packages and the build are kept there.\n` +
        'Make the folder writable for this user, or clone AgentOS into one that is, then run the command again.',
    ),
  littleDisk: (folder, freeMb, neededMb) =>
    new SetupProblem(
      `Only ${freeMb} MB are free where ${folder} lies; set-up wants ${neededMb} MB.\n` + `Make room, ${AGAIN}`,
    ),
  diskFull: (folder) =>
    new SetupProblem(`The disk that holds ${folder} or your home folder is full.\nMake room, ${AGAIN}`),
  nodeDidNotCome: (pin) =>
    new SetupProblem(
      `The registry did not give ${pin.package} ${pin.version}, the Node that AgentOS brings for this machine.\n` +
        'Install Node 26 (24 works) yourself, then run the command again: a recent Node of your own is used as it is.',
    ),
  foreignBinary: (pin, sha256) =>
    new SetupProblem(
      `The Node that came with ${pin.package} ${pin.version} is not the one this repository was made with:\n` +
        `  expected SHA-256 ${pin.sha256}\n  received SHA-256 ${sha256}\n` +
        'It was removed and not run. Install Node 26 yourself, and tell the maintainers (SECURITY.md).',
    ),
  lockOutdated: () =>
    new SetupProblem(
      'pnpm-lock.yaml does not fit a package.json that was changed.\n' +
        'Run `tools/pnpm/node_modules/.bin/pnpm install`, look at what changes in the lock file, then run the command again.',
    ),
}

const UNREACHABLE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR|META_FETCH_FAIL|network timeout|error sending request|dns error/i
const UNTRUSTED =
  /SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|CERT_(UNTRUSTED|HAS_EXPIRED)|certificate verify failed|UnknownIssuer|invalid peer certificate/i

/** Turns whatever went wrong in a step into a problem with a way out; what is not known is shown as it was said. */
export function explain(error, root) {
  const said = error.output ?? error.message ?? String(error)
  // The longest line that names it says the most: npm's first one is no more than the code.
  const line = (pattern) => {
    const lines = said.split('\n').filter((text) => pattern.test(text))
    return lines
      .reduce((longest, text) => (text.length > longest.length ? text : longest), '')
      .trim()
      .slice(0, 300)
  }
  if (/ENOSPC|no space left/i.test(said)) return problems.diskFull(root)
  if (/EROFS|EACCES|EPERM|read-only file system|permission denied/i.test(said))
    return problems.readOnly(root, line(/EROFS|EACCES|EPERM|read-only|permission/i))
  if (UNTRUSTED.test(said)) return problems.untrusted(line(UNTRUSTED))
  if (UNREACHABLE.test(said)) return problems.noRegistry(line(UNREACHABLE))
  if (/OUTDATED_LOCKFILE/.test(said)) return problems.lockOutdated()
  if (error.code === 'ENOENT' && error.path === 'npm') {
    return new SetupProblem(
      'npm is not on the PATH, and set-up brings its tools with it.\nInstall npm (it comes with Node), then run the command again.',
    )
  }
  const tail = said.split('\n').slice(-25).join('\n')
  return new SetupProblem(error.output === undefined && error.stack ? error.stack : tail)
}
