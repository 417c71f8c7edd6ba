/** The tables of delivery (RFC 6121 §8.5): who is there, and what becomes of each kind of stanza then. */
import { readFileSync } from 'node:fs'
import { root } from './paths.ts'

export interface Situation {
  readonly to: string
  readonly account?: boolean
  readonly resources: Readonly<Record<string, number | null>>
  readonly interested?: readonly string[]
}
export type Rows = Readonly<Record<string, Readonly<Record<string, string>>>>

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(`${root}/fixtures/delivery/${name}.json`, 'utf8')) as T
export const { situations } = read<{ situations: Readonly<Record<string, Situation>> }>('situations')
export const rows = (name: string): Rows => read<{ rows: Rows }>(name).rows
