"""What was kept, looked after: is it there, and may it go?"""
