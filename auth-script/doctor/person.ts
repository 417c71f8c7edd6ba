/** Whether somebody else, the user that a server runs as, may use a file: by its mode, and that of each folder above it. */
import { readFileSync, type Stats, statSync } from 'node:fs'
import { dirname, parse, resolve } from 'node:path'

export interface Person {
  readonly name: string
  readonly uid: number
  readonly gids: readonly number[]
}

/** From passwd and group files; undefined when there is nobody of that name. */
export function findPerson(name: string, folder = '/etc'): Person | undefined {
  const line = linesOf(`${folder}/passwd`).find((fields) => fields[0] === name || fields[2] === name)
  if (line === undefined) return undefined
  const [user = name, , uid, gid] = line
  const more = linesOf(`${folder}/group`).filter((fields) => fields[3]?.split(',').includes(user))
  return { name: user, uid: Number(uid), gids: [Number(gid), ...more.map((fields) => Number(fields[2]))] }
}

function linesOf(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
  } catch {
    return []
  }
}

const bits = { read: 4, write: 2, execute: 1 } as const

export type Use = keyof typeof bits

/** Why the person cannot use the path so, in words; undefined when nothing speaks against it. */
export function obstacle(person: Person, written: string, ...uses: readonly Use[]): string | undefined {
  const path = resolve(written)
  for (const folder of foldersAbove(path)) {
    const stat = statOf(folder)
    if (stat === undefined) return `there is no folder ${folder}`
    if (!stat.isDirectory()) return `${folder} is not a folder`
    if (!may(person, stat, 'execute')) return `user ${person.name} may not go into ${folder}`
  }
  const stat = statOf(path)
  if (stat === undefined) return `there is no ${path}`
  const denied = uses.find((use) => !may(person, stat, use))
  return denied && `user ${person.name} may not ${denied} ${path}`
}

function foldersAbove(path: string): string[] {
  const { root } = parse(path)
  const folders: string[] = []
  for (let folder = dirname(path); folder !== root; folder = dirname(folder)) folders.unshift(folder)
  return folders
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

function may(person: Person, { uid, gid, mode }: Stats, use: Use): boolean {
  const bit = bits[use]
  if (person.uid === 0) return use !== 'execute' || (mode & 0o111) !== 0
  if (person.uid === uid) return (mode & (bit << 6)) !== 0
  if (person.gids.includes(gid)) return (mode & (bit << 3)) !== 0
  return (mode & bit) !== 0
}
