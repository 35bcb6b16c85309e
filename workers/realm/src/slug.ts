const MAX = 80

/** A name as lower-case words with dashes; `realm` where nothing of it is left. */
export function slugOf(name: string): string {
  const words = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
  return words.slice(0, MAX).replace(/^-+|-+$/g, '') || 'realm'
}

/** The slug itself, or with the first number that makes it free. */
export function freeSlug(slug: string, taken: ReadonlySet<string>): string {
  if (!taken.has(slug)) return slug
  for (let number = 2; ; number++) {
    const ending = `-${number}`
    const candidate = `${slug.slice(0, MAX - ending.length)}${ending}`
    if (!taken.has(candidate)) return candidate
  }
}
