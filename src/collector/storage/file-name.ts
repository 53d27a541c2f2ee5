/** File names for any text: letters, digits, - and _ stay, every other byte of its UTF-8 is %XX. */
const LONGEST_NAME = 200;

/** @throws Error when the name would be too long for a file. */
export function safeFileName(text: string): string {
  const name = [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[a-zA-Z0-9_-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
  if (name.length > LONGEST_NAME) throw new Error(`The name ${text.slice(0, 40)}… is too long for a file`);
  return name;
}
