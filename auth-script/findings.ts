/** What a look at something found, in words for an administrator: what is so, and what to do about it. */

export interface Finding {
  /** `wrong` does not work, or will not; `warning` works, and somebody will regret it. */
  readonly level: 'ok' | 'warning' | 'wrong'
  readonly says: string
  /** What to do next; lines to paste are lines of it. */
  readonly remedy?: string
}

export interface Section {
  readonly title: string
  readonly findings: readonly Finding[]
}

export function ok(says: string): Finding {
  return { level: 'ok', says }
}

export function warning(says: string, remedy: string): Finding {
  return { level: 'warning', says, remedy }
}

export function wrong(says: string, remedy: string): Finding {
  return { level: 'wrong', says, remedy }
}

const marks = { ok: 'ok     ', warning: 'warning', wrong: 'WRONG  ' } as const
const indent = ' '.repeat(11)

/** A section as lines for people, with its end of line. */
export function formatSection({ title, findings }: Section): string {
  const lines = findings.flatMap(({ level, says, remedy }) => [
    `  ${marks[level]}  ${says.replaceAll('\n', `\n${indent}`)}`,
    ...(remedy === undefined ? [] : [`${indent}→ ${remedy.replaceAll('\n', `\n${indent}  `)}`]),
  ])
  return `${[title, ...lines].join('\n')}\n`
}

/** `nothing is wrong`, or how much is. */
export function summary(sections: readonly Section[]): string {
  const all = sections.flatMap(({ findings }) => findings)
  const countOf = (level: Finding['level']) => all.filter((finding) => finding.level === level).length
  const [wrongs, warnings] = [countOf('wrong'), countOf('warning')]
  const parts = [
    ...(wrongs > 0 ? [`${wrongs} ${wrongs === 1 ? 'thing is' : 'things are'} wrong`] : []),
    ...(warnings > 0 ? [`${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`] : []),
  ]
  return parts.length === 0 ? 'nothing is wrong' : parts.join(', ')
}

export function isAnythingWrong(sections: readonly Section[]): boolean {
  return sections.some(({ findings }) => findings.some(({ level }) => level === 'wrong'))
}
