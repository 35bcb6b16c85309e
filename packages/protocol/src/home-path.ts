/**
 * A path in which a leading `~` stands for the home folder, as a shell would read it. No shell reads what comes from a
 * file, a unit or quotes, and a folder named `~` is what nobody wants. Throws for `~name`: whose home that is, is not known.
 */
export function expandHome(path: string, home: string): string {
  if (path === '~' || path.startsWith('~/')) return home + path.slice(1)
  if (!path.startsWith('~')) return path
  throw new Error(`${path}: only ~ and ~/… stand for a home folder; write the whole path, or ./${path}`)
}
