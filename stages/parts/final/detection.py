def main():
    raise NotImplementedError
