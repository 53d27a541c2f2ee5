export function defines(distDirectory: string): Record<string, string>;
