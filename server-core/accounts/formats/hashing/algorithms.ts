/** The algorithms that have no asynchronous implementation, and so run in threads of their own (pool.ts). */
import { md5Crypt } from './md5-crypt.ts'
import { phpass } from './phpass.ts'
import { shaCrypt } from './sha-crypt.ts'

/** From a plain object to text; they validate nothing and do not throw. */
export const algorithms = { md5Crypt, phpass, shaCrypt } as const

export type AlgorithmName = keyof typeof algorithms
export type AlgorithmInput<N extends AlgorithmName> = Parameters<(typeof algorithms)[N]>[0]

export interface Job<N extends AlgorithmName = AlgorithmName> {
  readonly name: N
  readonly input: AlgorithmInput<N>
}

export function run<N extends AlgorithmName>({ name, input }: Job<N>): string {
  const algorithm = algorithms[name] as (input: AlgorithmInput<N>) => string
  return algorithm(input)
}
