/** Files carried in the executable: an import with `{ type: "file" }` is the path to read them at. */
declare module "*.o" {
  const path: string;
  export default path;
}
declare module "*.so.1" {
  const path: string;
  export default path;
}
